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

// Resolved is the same alert, over now.
func (a Alert) Resolved() Alert {
	a.EndsAt = time.Now()
	return a
}

// PostIncident posts two alerts of one group that fire together and are over one after the other. After each step it has told
// take the next notification, and return how many alerts fire in it, until it is the one of the step: a busy Alertmanager
// may tell of a step in two.
func (am *Alertmanager) PostIncident(tb testing.TB, one, two Alert, told func() int) {
	tb.Helper()
	step := func(firing int, alerts ...Alert) {
		am.Post(tb, alerts...)
		for told() != firing {
		}
	}
	step(2, one, two)
	step(1, one.Resolved())
	step(0, two.Resolved())
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
