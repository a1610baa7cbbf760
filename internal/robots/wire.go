package robots

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/internal/split"
)

// Encode writes a request of strings and booleans as raw UTF-8: escapes would count against DingTalk's limit, and
// whether WeCom takes them is not documented.
func Encode(body any) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	_ = e.Encode(body) // nothing in it can fail, nor can memory
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// Decode reads the vendor's answer into answer. Its error is transient: that was not the vendor, who answers 200 even
// to errors, but something in between.
func Decode(resp *httpclient.Response, answer any) error {
	if resp.Status/100 != 2 {
		return relay.AsTransient(fmt.Errorf("status %d", resp.Status))
	}
	if err := json.Unmarshal(resp.Body, answer); err != nil {
		return relay.AsTransient(fmt.Errorf("read answer: %w", err))
	}
	return nil
}

// A Code is an errcode: a number, or a number in quotes as in a sample of DingTalk's documentation. Empty when absent.
type Code string

// UnmarshalJSON reads a number, in quotes or not.
func (c *Code) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "null" {
		return nil
	}
	if _, err := strconv.Atoi(text); err != nil {
		return errors.New("errcode is not a number")
	}
	*c = Code(text)
	return nil
}

// Label is an errmsg for a person, in one bounded line and without the token.
func Label(message, token string) string {
	text := strings.Join(strings.Fields(message), " ")
	if token != "" {
		text = strings.ReplaceAll(text, token, "<secret>")
	}
	return split.Text(text, maxLabel)
}

// maxLabel bounds the text of an answer in an error, in bytes. The vendors' are below it.
const maxLabel = 500
