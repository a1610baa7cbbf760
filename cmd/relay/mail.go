package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"
)

// readable is a body as a person can read it: a mail with its words and parts decoded, whatever else as it is.
func readable(body []byte) []byte {
	m, err := mail.ReadMessage(bytes.NewReader(body))
	if err != nil || m.Header.Get("Message-Id") == "" {
		return body
	}
	var out bytes.Buffer
	if err := readMail(&out, m.Header, m.Body); err != nil {
		return body
	}
	return out.Bytes()
}

// readMail writes headers and content of a mail, or of a part of one.
func readMail(out *bytes.Buffer, header map[string][]string, content io.Reader) error {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			if word, err := new(mime.WordDecoder).DecodeHeader(value); err == nil {
				value = word
			}
			fmt.Fprintf(out, "%s: %s\n", name, value)
		}
	}
	out.WriteByte('\n')
	kind, params, _ := mime.ParseMediaType(mail.Header(header).Get("Content-Type"))
	if !strings.HasPrefix(kind, "multipart/") {
		if strings.EqualFold(mail.Header(header).Get("Content-Transfer-Encoding"), "quoted-printable") {
			content = quotedprintable.NewReader(content)
		}
		_, err := out.ReadFrom(content)
		return err
	}
	for parts := multipart.NewReader(content, params["boundary"]); ; {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "--%s\n", params["boundary"])
		if err := readMail(out, part.Header, part); err != nil {
			return err
		}
		out.WriteByte('\n')
	}
}
