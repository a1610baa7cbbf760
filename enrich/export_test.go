package enrich

import "net/http"

// ExemplarsWith is the source that asks a Prometheus of its own transport.
func ExemplarsWith(transport http.RoundTripper) Source {
	source, err := FromExemplars(Config{Exemplars: &Exemplars{URL: "http://prometheus:9090"}})
	if err != nil {
		panic(err)
	}
	source.(*exemplarSource).prometheus.client = &http.Client{Transport: transport}
	return source
}
