package acceptance_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
)

// TestHowToRecordContext does what the how-to says, in both languages, and looks as it says.
func TestHowToRecordContext(t *testing.T) {
	t.Parallel()
	cli := parts.Binary(t, "redis-cli")
	redis := parts.StartRedis(t)
	relay := startRelayWith(t, 10*time.Minute, fmt.Sprintf("storage: {redis: {addresses: ['%s']}}", redis.Address))
	for _, page := range []string{"record-context.md", "record-context.zh-CN.md"} {
		text, err := os.ReadFile(filepath.Join(parts.Root(), "docs", "how-to", page))
		require.NoError(t, err)

		redis.Do(t, "DEL", "relay:snapshot:service=pay")
		host, port, err := net.SplitHostPort(redis.Address)
		require.NoError(t, err)
		command := block(t, string(text), "redis-cli SET")
		command = strings.Replace(command, "redis-cli", fmt.Sprintf("%s -h %s -p %s", cli, host, port), 1)
		out, err := exec.CommandContext(t.Context(), "bash", "-c", command).CombinedOutput()
		require.NoError(t, err, string(out))
		require.Equal(t, "OK\n", string(out))
		awaitSnapshot(t, relay.url)

		redis.Do(t, "DEL", "relay:snapshot:service=pay")
		command = block(t, string(text), "curl -X PUT")
		body := regexp.MustCompile(`(?s)-d '(.*)'`).FindStringSubmatch(command)
		require.NotNil(t, body, command)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, relay.url+"/api/v1/snapshots", strings.NewReader(body[1]))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		awaitSnapshot(t, relay.url)
	}
}

// block is the code of a page that begins with start.
func block(t *testing.T, page, start string) string {
	t.Helper()
	_, code, found := strings.Cut(page, "```sh\n"+start)
	require.True(t, found, "no block that begins with %s", start)
	code, _, _ = strings.Cut(code, "```")
	return start + code
}
