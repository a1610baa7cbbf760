package sandbox

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
)

// A MailMessage is a mail as it was taken, read by a parser that shares nothing with the sender.
type MailMessage struct {
	// From and To are the envelope: To holds the accepted recipients only.
	From string
	To   []string

	Header     mail.Header
	FromHeader string // decoded
	Subject    string // decoded
	MessageID  string
	InReplyTo  string
	References string

	Text  string
	HTML  string
	Parts []MailPart // the leaves of the tree, in order
	// CIDs maps a Content-ID without brackets to its part's index in Parts.
	CIDs map[string]int
	// Faults are what a careful receiver would not like: a header given twice, a bare line feed, a missing picture.
	Faults []string
}

// A MailPart is a leaf of the MIME tree.
type MailPart struct {
	Path        string // multipart/alternative > text/plain
	ContentType string // without parameters
	ContentID   string
	Disposition string
	Body        []byte // decoded
}

// parseMail reads a mail. What cannot be read is named in Faults; the rest is still there.
func parseMail(raw []byte) *MailMessage {
	m := &MailMessage{CIDs: map[string]int{}}
	m.checkLines(raw)
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		m.fault("unreadable header: %v", err)
		return m
	}
	words := &mime.WordDecoder{}
	decode := func(key string) string {
		v, err := words.DecodeHeader(msg.Header.Get(key))
		if err != nil {
			m.fault("%s: %v", key, err)
			return msg.Header.Get(key)
		}
		return v
	}
	m.Header = msg.Header
	m.Subject, m.FromHeader = decode("Subject"), decode("From")
	m.MessageID, m.InReplyTo = msg.Header.Get("Message-Id"), msg.Header.Get("In-Reply-To")
	m.References = msg.Header.Get("References")
	m.checkHeaders()
	m.read(textproto.MIMEHeader(msg.Header), msg.Body, "")
	m.checkParts()
	return m
}

func (m *MailMessage) fault(format string, args ...any) {
	m.Faults = append(m.Faults, fmt.Sprintf(format, args...))
}

// checkLines finds line breaks other than CR LF. Lines over RFC 5322's 998 bytes are refused before.
func (m *MailMessage) checkLines(raw []byte) {
	rest := bytes.ReplaceAll(raw, []byte("\r\n"), nil)
	if bytes.ContainsAny(rest, "\r\n") {
		m.fault("bare CR or LF")
	}
}

// checkHeaders finds what should be there once and is not. A second Subject means that a label got into the header.
func (m *MailMessage) checkHeaders() {
	for _, key := range []string{
		"Date", "From", "Sender", "Reply-To", "To", "Cc", "Message-Id", "In-Reply-To",
		"References", "Subject", "Mime-Version", "Content-Type",
	} {
		if n := len(m.Header[key]); n > 1 {
			m.fault("%d headers %s", n, key)
		}
	}
	for _, key := range []string{"Date", "From", "Message-Id", "Subject"} {
		if len(m.Header[key]) == 0 {
			m.fault("no header %s", key)
		}
	}
	if len(m.Header["Bcc"]) > 0 {
		m.fault("header Bcc")
	}
}

// read walks the MIME tree.
func (m *MailMessage) read(header textproto.MIMEHeader, body io.Reader, path string) {
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if header.Get("Content-Type") == "" {
		kind, err = "text/plain", nil
	}
	if err != nil {
		m.fault("Content-Type: %v", err)
		return
	}
	path += kind
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err == io.EOF {
				return
			}
			if err != nil {
				m.fault("%s: %v", path, err)
				return
			}
			m.read(p.Header, p, path+" > ")
		}
	}
	content, err := io.ReadAll(decoded(header.Get("Content-Transfer-Encoding"), body))
	if err != nil {
		m.fault("%s: %v", path, err)
	}
	disposition, _, _ := mime.ParseMediaType(header.Get("Content-Disposition"))
	part := MailPart{
		Path: path, ContentType: kind, ContentID: header.Get("Content-Id"), Disposition: disposition, Body: content,
	}
	text := strings.ReplaceAll(string(content), "\r\n", "\n")
	switch {
	case disposition == "attachment":
	case kind == "text/plain" && m.Text == "":
		m.Text = text
	case kind == "text/html" && m.HTML == "":
		m.HTML = text
	}
	if id := strings.Trim(part.ContentID, "<>"); id != "" {
		m.CIDs[id] = len(m.Parts)
	}
	m.Parts = append(m.Parts, part)
}

func decoded(encoding string, r io.Reader) io.Reader {
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, r)
	}
	return r
}

// checkParts finds pictures that are not there, ids without brackets, and an HTML part before the text part.
func (m *MailMessage) checkParts() {
	for _, id := range regexp.MustCompile(`cid:([^"'\s)>]+)`).FindAllStringSubmatch(m.HTML, -1) {
		if _, ok := m.CIDs[id[1]]; !ok {
			m.fault("no part for cid:%s", id[1])
		}
	}
	for _, p := range m.Parts {
		if p.ContentID != "" && (!strings.HasPrefix(p.ContentID, "<") || !strings.HasSuffix(p.ContentID, ">")) {
			m.fault("Content-ID without brackets: %s", p.ContentID)
		}
	}
	text := slices.IndexFunc(m.Parts, func(p MailPart) bool { return p.ContentType == "text/plain" })
	html := slices.IndexFunc(m.Parts, func(p MailPart) bool { return p.ContentType == "text/html" })
	if html >= 0 && text > html {
		m.fault("the text part comes after the HTML part")
	}
}
