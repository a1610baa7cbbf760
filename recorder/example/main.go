// Command example is a service as teams write them: gin, OpenTelemetry, Prometheus with exemplars, and a recorder that
// hands the context of requests that suffer to the relay, or to its Redis.
//
//	go run . --relay=http://localhost:8060
//	curl -A 'RoomClient/3.2' 'http://localhost:8080/rooms/10086/pay?fail=true'
//	curl 'http://localhost:8060/api/v1/snapshots?label=service=pay'
//
// The relay's acceptance test runs it between a real Prometheus and the relay.
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/alertrelay/relay/recorder"
	"github.com/alertrelay/relay/recorder/ginrecorder"
)

func main() {
	listen := flag.String("listen", "localhost:8080", "where the service listens; also its label instance")
	relay := flag.String("relay", "", "the relay that gets what is recorded")
	redisAddr := flag.String("redis", "", "the relay's Redis, written to instead")
	flag.Parse()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(*listen, *relay, *redisAddr, logger); err != nil {
		logger.Error("The service has ended", "err", err)
		os.Exit(1)
	}
}

func run(listen, relay, redisAddr string, logger *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	var sink recorder.Sink = recorder.Relay{URL: relay, Token: os.Getenv("RELAY_TOKEN")}
	if redisAddr != "" {
		client := redis.NewClient(&redis.Options{Addr: redisAddr})
		defer func() { _ = client.Close() }()
		sink = recorder.Redis(client.Do, recorder.RedisOptions{})
	}
	rec, err := recorder.New(recorder.Config{
		Sink:    sink,
		Labels:  map[string]string{"service": "pay", "instance": listen},
		Room:    func(r *http.Request) string { return r.PathValue("room") },
		TraceID: recorder.OpenTelemetry(trace.SpanContextFromContext),
		Slow:    2 * time.Second,
		Logger:  logger,
	})
	if err != nil {
		return err
	}

	server := &http.Server{Addr: listen, Handler: router(rec), ReadHeaderTimeout: 5 * time.Second}
	server.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) }
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(end), rec.Close(end))
}

// router is the service: rooms in which people pay, and its metrics.
func router(rec ginrecorder.Recorder) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	registry := prometheus.NewRegistry()
	counted := newMetrics(registry)
	r := gin.New()
	r.GET("/metrics", gin.WrapH(promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})))
	rooms := r.Group("/rooms/:room", gin.Recovery(), traced(), counted.count, ginrecorder.New(rec))
	rooms.GET("/pay", func(c *gin.Context) {
		switch {
		case c.Query("fail") != "":
			c.String(http.StatusInternalServerError, "cannot pay")
		case c.Query("panic") != "":
			panic("cannot pay")
		default:
			c.String(http.StatusOK, "paid in room %s", c.Param("room"))
		}
	})
	return r
}

// metrics are counted with exemplars: the trace of a request, and its room.
type metrics struct{ requests *prometheus.CounterVec }

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "http_requests_total",
		Help: "Requests, by the status code of the answer.",
	}, []string{"code"})}
	for _, code := range []string{"200", "500"} {
		m.requests.WithLabelValues(code) // at zero from the start, so that rate() sees the first
	}
	r.MustRegister(m.requests)
	return m
}

func (m metrics) count(c *gin.Context) {
	defer func() {
		cause := recover()
		status := c.Writer.Status()
		if cause != nil {
			status = http.StatusInternalServerError
		}
		counter := m.requests.WithLabelValues(strconv.Itoa(status)).(prometheus.ExemplarAdder)
		exemplar := prometheus.Labels{"room_id": c.Param("room")}
		if span := trace.SpanContextFromContext(c.Request.Context()); span.HasTraceID() {
			exemplar["trace_id"] = span.TraceID().String()
		}
		counter.AddWithExemplar(1, exemplar)
		if cause != nil {
			panic(cause)
		}
	}()
	c.Next()
}
