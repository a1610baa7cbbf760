package parts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Alertmanagers are the versions that acceptance tests run against: Debian's, and the newest.
func Alertmanagers() []string { return []string{"prometheus-alertmanager", "alertmanager-v0.34.2"} }

// An Alertmanager is a real one.
type Alertmanager struct {
	*Process
	URL string
}

// StartAlertmanager starts an Alertmanager with the configuration given, without a cluster unless args give its
// flags.
func StartAlertmanager(tb testing.TB, name, config string, args ...string) *Alertmanager {
	tb.Helper()
	dir := tb.TempDir()
	file := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	addr := FreeAddress(tb)
	flags := []string{
		"--config.file=" + file, "--storage.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + addr,
		"--log.level=debug",
	}
	if len(args) == 0 {
		args = []string{"--cluster.listen-address="}
	}
	am := &Alertmanager{Process: Start(tb, Binary(tb, name), append(flags, args...)...), URL: "http://" + addr}
	am.Ready(tb, am.URL+"/-/ready")
	return am
}

// An Alert is what a client posts to Alertmanager.
type Alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	StartsAt     time.Time         `json:"startsAt,omitzero"`
	EndsAt       time.Time         `json:"endsAt,omitzero"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// Post posts alerts to the Alertmanager.
func (am *Alertmanager) Post(tb testing.TB, alerts ...Alert) {
	tb.Helper()
	body, err := json.Marshal(alerts)
	if err != nil {
		tb.Fatal(err)
	}
	WaitFor(tb, "Alertmanager to take alerts", func() error {
		resp, err := http.Post(am.URL+"/api/v2/alerts", "application/json", bytes.NewReader(body)) //nolint:noctx // bounded by WaitFor
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("answered %s", resp.Status)
		}
		return nil
	})
}
