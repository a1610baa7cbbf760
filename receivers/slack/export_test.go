package slack

import "github.com/alertrelay/relay/internal/httpclient"

// Judge reads the answer of a webhook.
func Judge(a *httpclient.Response) error { return judge(a) }

// JudgeCall reads the answer of the Web API, and returns the channel and the ts of the message.
func JudgeCall(a *httpclient.Response) (channel, ts string, err error) {
	at, err := judgeCall(a)
	return at.Channel, at.TS, err
}

// WithoutTrailingCommas is done to the result of a template of blocks.
func WithoutTrailingCommas(text string) string { return withoutTrailingCommas(text) }

// Cut bounds markup.
func Cut(text string, limit int) string { return cut(text, limit) }
