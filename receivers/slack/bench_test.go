package slack_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/receivers/slack"
)

func BenchmarkRender(b *testing.B) {
	for name, c := range map[string]slack.Config{"blocks": {}, "attachment": {Blocks: new("")}} {
		for size, alerts := range map[string]int{"1 alert": 1, "30 alerts": 30} {
			b.Run(name+"/"+size, func(b *testing.B) {
				c.APIURL = secret.New("https://example.com" + path)
				s := build(b, c, receiverstest.Env(b, set(b)))
				d := receiverstest.Many(alerts)
				b.ReportAllocs()
				for b.Loop() {
					_, err := s.Render(d)
					require.NoError(b, err)
				}
			})
		}
	}
}
