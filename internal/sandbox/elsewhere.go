package sandbox

import (
	"net/http"
	"strings"
)

// elsewherePath begins the addresses that stand for the systems around a relay.
const elsewherePath = "/elsewhere"

// Elsewhere is the address under which links to Alertmanager, Prometheus, the tracing system and the runbooks lead to a
// page that says where they would lead in a real installation.
func (s *Sandbox) Elsewhere() string { return s.URL() + elsewherePath }

// elsewhere says what the link would open.
func (p *page) elsewhere(w http.ResponseWriter, r *http.Request) {
	wordsHere := wordsFor(r)
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, elsewherePath+"/"), "/")
	system := wordsHere.Systems[strings.TrimSuffix(strings.TrimSuffix(first, "-0"), "-1")]
	if system == "" {
		http.NotFound(w, r)
		return
	}
	secure(w, pagePolicy, "text/html; charset=utf-8")
	_ = p.templates.ExecuteTemplate(w, "elsewhere", struct {
		Words        words
		System, Path string
	}{wordsHere, system, strings.TrimPrefix(r.URL.Path, elsewherePath)})
}
