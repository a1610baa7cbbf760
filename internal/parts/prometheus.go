package parts

import (
	"os"
	"path/filepath"
	"testing"
)

// StartPrometheus starts Debian's Prometheus at an address, with its exemplar storage. The files it is given lie beside its
// configuration, so that rule_files can name them.
func StartPrometheus(tb testing.TB, address, config string, files map[string]string) *Process {
	tb.Helper()
	name := Binary(tb, "prometheus")
	dir := tb.TempDir()
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	p := Start(tb, name, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--enable-feature=exemplar-storage")
	p.Ready(tb, "http://"+address+"/-/ready")
	return p
}
