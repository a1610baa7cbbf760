package dingtalk

import "github.com/alertrelay/relay/internal/httpclient"

// Classify is classify for the fuzzer.
func Classify(status int, body []byte, token string) error {
	return classify(&httpclient.Response{Status: status, Body: body}, token)
}
