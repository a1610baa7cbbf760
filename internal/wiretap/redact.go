package wiretap

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// redacted stands for a secret, as everywhere in the relay.
const redacted = "<secret>"

// redact takes the credentials out of a call and remembers those of its URL, for the answer.
func (c *Call) redact() {
	c.URL, c.secrets = redactURL(c.URL)
	c.Header = redactHeader(c.Header)
	c.Body = redactJSON(c.Body)
}

// redact takes the credentials out of an answer, of which vendors like to quote those of the URL.
func (a *Answer) redact(secrets []string) {
	a.Header = redactHeader(a.Header)
	body := redactJSON(bytes.Clone(a.Body))
	for _, s := range secrets {
		body = bytes.ReplaceAll(body, []byte(s), []byte(redacted))
	}
	a.Body = body
}

// redactURL shows host, well-known words of the path and names of parameters; all else may be the credential.
func redactURL(text string) (shown string, secrets []string) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return redacted, []string{text}
	}
	shown = u.Scheme + "://" + u.Host
	if password, ok := u.User.Password(); ok {
		secrets = append(secrets, password)
	}
	hidden := false
	for segment := range strings.FieldsFuncSeq(u.EscapedPath(), func(r rune) bool { return r == '/' }) {
		if slices.Contains(words(), segment) {
			shown, hidden = shown+"/"+segment, false
			continue
		}
		if !hidden {
			shown, hidden = shown+"/"+redacted, true
		}
		secrets = append(secrets, segment)
	}
	query := u.Query()
	var parameters []string
	for _, name := range slices.Sorted(maps.Keys(query)) {
		parameters = append(parameters, name+"="+redacted)
		secrets = append(secrets, query[name]...)
	}
	if len(parameters) > 0 {
		shown += "?" + strings.Join(parameters, "&")
	}
	return shown, slices.DeleteFunc(secrets, func(s string) bool { return len(s) < shortest })
}

// shortest is the length of a secret that is looked for in answers: shorter ones are in every text.
const shortest = 6

// words are those of the vendors' paths, which every caller uses.
func words() []string {
	return []string{
		"api", "cgi-bin", "robot", "send", "webhook", "services", "message", "upload_media", "media", "upload", "gettoken",
		"chat.postMessage", "chat.update", "v1.0", "oauth2", "accessToken", "im", "bot", "messages", "groupMessages",
		"oToMessages", "batchSend", "topapi", "corpconversation", "asyncsend_v2", "appchat",
		"update_template_card", "card", "instances", "createAndDeliver",
	}
}

func redactHeader(h http.Header) http.Header {
	shown := http.Header{}
	for name, values := range h {
		if secretive(name) {
			values = []string{redacted}
		}
		shown[name] = values
	}
	return shown
}

// secretive tells whether the name of a header or of a field speaks of a credential.
func secretive(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"auth", "token", "cookie", "secret", "password", "ticket"},
		func(word string) bool { return strings.Contains(name, word) })
}

// redactJSON replaces the texts of JSON fields whose names speak of a credential. Whatever else is in the body stays as
// it is, byte for byte: within a JSON text, the quotes that the pattern looks for are escaped.
func redactJSON(body Text) Text {
	field := regexp.MustCompile(`(?i)("[^"\\]*(?:token|secret|password|ticket)[^"\\]*"\s*:\s*")(?:[^"\\]|\\.)+"`)
	if !json.Valid(body) {
		return body
	}
	return field.ReplaceAll(body, []byte("${1}"+redacted+`"`))
}
