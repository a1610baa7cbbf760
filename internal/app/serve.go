package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/prometheus/exporter-toolkit/web"
)

// The times a client may take. A webhook's own bounds are tighter and belong to the way in.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	writeTimeout      = 2 * time.Minute // a profile may take a minute and more
	idleTimeout       = 6 * time.Minute // Alertmanager keeps an idle connection for 5: it closes first
	maxHeaderBytes    = 64 << 10
	shutdownTimeout   = 5 * time.Second
)

// A server is one listener with an http.Server of its own: exporter-toolkit changes the server it is given, so that two
// listeners must not share one.
type server struct {
	listener      net.Listener
	http          *http.Server
	webConfigFile string
	logger        *slog.Logger
}

// listen opens the listeners of o, the public one last. It returns those opened beside an error.
func listen(ctx context.Context, o Options, handler, public http.Handler) ([]*server, error) {
	var servers []*server
	add := func(l net.Listener, h http.Handler, webConfigFile string) {
		servers = append(servers, newServer(l, h, webConfigFile, o.Logger))
	}
	var lc net.ListenConfig
	if o.SystemdSocket {
		listeners, err := activation.Listeners()
		if err != nil {
			return servers, fmt.Errorf("listen on the sockets of systemd: %w", err)
		}
		if len(listeners) == 0 {
			return servers, errors.New("listen on the sockets of systemd: it gave none")
		}
		for _, l := range listeners {
			add(l, handler, o.WebConfigFile)
		}
	} else {
		for _, address := range o.ListenAddresses {
			l, err := lc.Listen(ctx, "tcp", address)
			if err != nil {
				return servers, err
			}
			add(l, handler, o.WebConfigFile)
		}
	}
	if o.PublicListenAddress != "" {
		l, err := lc.Listen(ctx, "tcp", o.PublicListenAddress)
		if err != nil {
			return servers, err
		}
		add(l, public, "")
	}
	return servers, nil
}

func newServer(l net.Listener, h http.Handler, webConfigFile string, logger *slog.Logger) *server {
	return &server{
		listener: l,
		http: &http.Server{
			Handler:           h,
			ReadHeaderTimeout: readHeaderTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		},
		webConfigFile: webConfigFile,
		logger:        logger,
	}
}

// serve answers requests until close. It returns nil then.
func (s *server) serve() error {
	systemd, addresses := false, []string{s.listener.Addr().String()}
	err := web.Serve(s.listener, s.http, &web.FlagConfig{
		WebListenAddresses: &addresses, WebSystemdSocket: &systemd, WebConfigFile: &s.webConfigFile,
	}, s.logger)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", addresses[0], err)
}

// close stops listening and waits for the requests under way, for shutdownTimeout at most.
func (s *server) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close()
	}
	_ = s.listener.Close() // when serve was never called
}
