package acceptance_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
)

// TestEmptyRoot runs what the Dockerfile builds as the image would: nothing in the file system but the binary, its
// configuration and an empty folder for its data, and a user without rights.
func TestEmptyRoot(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("changing the root needs root")
	}
	build := exec.CommandContext(t.Context(), "make", "build")
	build.Dir = parts.Root()
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	const nobody = 65534
	root := t.TempDir()
	for _, dir := range []string{root, filepath.Dir(root)} { // t.TempDir is for its owner alone
		require.NoError(t, os.Chmod(dir, 0o755))
	}
	binary, err := os.ReadFile(filepath.Join(parts.Root(), "bin", "relay"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "relay"), binary, 0o755))
	config := configuration(t, map[string]any{
		"DingTalk": "http://127.0.0.1:1/robot/send?access_token=t", "WeCom": "http://127.0.0.1:1/send?key=k",
		"Slack": "http://127.0.0.1:1/services/T/B/X", "SMTP": "127.0.0.1:1", "Window": "10m",
	})
	config = strings.Replace(config, "timezone: UTC", "timezone: Asia/Shanghai", 1)
	require.NoError(t, os.WriteFile(filepath.Join(root, "config.yaml"), []byte(config), 0o644))
	data := filepath.Join(root, "data")
	require.NoError(t, os.Mkdir(data, 0o700))
	require.NoError(t, os.Chown(data, nobody, nobody))

	addr := parts.FreeAddress(t)
	relay := &relayProcess{url: "http://" + addr, Process: parts.StartWith(t, &syscall.SysProcAttr{
		Chroot: root, Credential: &syscall.Credential{Uid: nobody, Gid: nobody},
	}, "/relay", "serve", "--config.file=/config.yaml", "--storage.path=/data", "--web.listen-address="+addr)}
	relay.Ready(t, relay.url+"/-/ready")
	require.Equal(t, http.StatusOK, relay.post(t, notification("InTheImage", alert(0, "accepted in an empty root"))))
	parts.WaitFor(t, "the store to be written", func() error {
		_, err := os.Stat(filepath.Join(data, "relay.db"))
		return err
	})
	start := time.Now()
	require.Zero(t, relay.Stop(t))
	require.Less(t, time.Since(start), 20*time.Second, "the drain is bounded")
}
