package wecom

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // WeCom asks for it, as a checksum
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/split"
)

// The limits of what is attached, in bytes.
// https://developer.work.weixin.qq.com/document/path/91770
const (
	maxImage    = 2 << 20
	minFile     = 6
	maxFile     = 512 << 10 // WeCom takes 20 MB; nobody reads that, and it is stored until it is sent
	maxFileName = 100
)

// image is a picture. It is read when it is sent, so that its newest state is shown.
type image struct {
	Base64 string `json:"base64,omitempty"`
	MD5    string `json:"md5,omitempty"`
}

// file is a text file: its name and content until it is sent, then what WeCom calls it after the upload.
type file struct {
	MediaID string `json:"media_id,omitempty"`
	Name    string `json:"name,omitempty"`
	Content string `json:"content,omitempty"`
}

// attached are the messages that follow those of a text: the picture, or the file with all alerts in full.
func (w *writer) attached(d *relay.Delivery, texts []relay.Message) []relay.Message {
	m := relay.Message{ID: d.ID + "-" + w.messageType}
	switch w.messageType {
	case TypeImage:
		m.Body = robots.Encode(body{Type: TypeImage, Image: &image{}})
	case TypeFile:
		m.Text = fileName(texts[0].Text)
		m.Body = robots.Encode(body{Type: TypeFile, File: &file{Name: m.Text, Content: w.full(d)}})
	default:
		return nil
	}
	return []relay.Message{m}
}

// full tells all alerts as the text template does, or on a line each when that fails or is longer than a template may
// write.
func (w *writer) full(d *relay.Delivery) string {
	v := relay.View{Delivery: d}
	content, err := w.text.Execute(v)
	if err != nil {
		content, _ = w.templates.Compact(w.locale, v, v.Notification().Alerts, maxFile)
	}
	return split.Text(content, maxFile)
}

// fileName makes a name of the first line of a text.
func fileName(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	line = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) || r < ' ' {
			return '_'
		}
		return r
	}, strings.TrimSpace(line))
	return split.Text(line, maxFileName) + ".txt"
}

// finish makes of a message what WeCom takes: it reads the picture, uploads the file. What is left out because it cannot
// be read is said; the text before it has told the alerts.
func (i *Integration) finish(ctx context.Context, robot *url.URL, content []byte) (out []byte, leftOut string, err error) {
	var b body
	if !bytes.HasPrefix(content, []byte(`{"msgtype":"image"`)) && !bytes.HasPrefix(content, []byte(`{"msgtype":"file"`)) {
		return content, "", nil
	}
	if err := json.Unmarshal(content, &b); err != nil {
		return nil, "", relay.AsRefused(fmt.Errorf("read message: %w", err))
	}
	switch {
	case b.Image != nil:
		if why := b.Image.read(i.imageFile); why != "" {
			return nil, "picture left out: " + why, nil
		}
	case b.File != nil && b.File.MediaID == "":
		id, err := i.upload(ctx, robot, b.File)
		if err != nil {
			return nil, "", err
		}
		b.File = &file{MediaID: id}
	}
	return robots.Encode(b), "", nil
}

// read fills the picture from a file, or says why it cannot.
func (p *image) read(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxImage+1))
	if err != nil {
		return err.Error()
	}
	kind := http.DetectContentType(content)
	switch {
	case kind != "image/png" && kind != "image/jpeg":
		return "neither PNG nor JPG"
	case len(content) > maxImage:
		return "more than 2 MB"
	}
	sum := md5.Sum(content) //nolint:gosec // see above
	p.Base64, p.MD5 = base64.StdEncoding.EncodeToString(content), hex.EncodeToString(sum[:])
	return ""
}

// upload hands a file to WeCom for the message that shows it, and returns its id, which is good for this robot only.
// https://developer.work.weixin.qq.com/document/path/91770
func (i *Integration) upload(ctx context.Context, robot *url.URL, f *file) (string, error) {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	content := f.Content
	for len(content) < minFile {
		content += "\n"
	}
	header := textproto.MIMEHeader{}
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition",
		fmt.Sprintf(`form-data; name="media"; filename="%s"; filelength=%d`, f.Name, len(content)))
	part, err := w.CreatePart(header)
	if err != nil {
		return "", err
	}
	_, _ = io.WriteString(part, content) // to memory
	_ = w.Close()

	u := *robot
	u.Path = strings.TrimSuffix(u.Path, "/send") + "/upload_media"
	q := u.Query()
	q.Set("type", "file")
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), &form)
	if err != nil {
		return "", relay.AsMisconfigured(fmt.Errorf("build request: %w", httpclient.Redact(err)))
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	resp, err := httpclient.Do(i.client, req)
	if err != nil {
		return "", err
	}
	if err := classify(resp, u.Query().Get(tokenKey)); err != nil {
		return "", err
	}
	var a struct {
		MediaID string `json:"media_id"`
	}
	if err := json.Unmarshal(resp.Body, &a); err != nil || a.MediaID == "" {
		return "", relay.AsTransient(errors.New("answer without media_id"))
	}
	return a.MediaID, nil
}
