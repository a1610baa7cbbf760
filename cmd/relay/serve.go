package main

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
	webflag "github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/internal/app"
)

// autoReloadInterval is how often the configuration file is looked at with --config.enable-auto-reload.
const autoReloadInterval = 30 * time.Second

// headroom counts as heap and is never touched, so that it takes no memory. The garbage collector runs when the heap has
// doubled: with the few megabytes that a relay keeps, after each hundred webhooks, at a fifth of all CPU. With these it runs
// when at least as many more are garbage. A higher GOGC would do the same to a small heap, and multiply a large backlog.
const headroom = 16 << 20

// addServe adds relay serve, which is meant when no command is named: it runs until ctx ends.
func addServe(root *kingpin.Application, commands map[string]command) {
	cmd := root.Command("serve", "Take webhooks and deliver them. This is the default.").Default()
	file := configFileFlag(cmd)
	autoReload := cmd.Flag("config.enable-auto-reload", "Reload the configuration when it or a template has changed.").Bool()
	storage := cmd.Flag("storage.path", "Folder of the embedded store.").Default("data/").String()
	web := webflag.AddFlags(cmd, ":8060")
	external := cmd.Flag("web.external-url", "Where people reach the relay, for links in messages.").Default("").String()
	public := cmd.Flag("web.public.listen-address",
		"Address of a listener without authentication that serves /-/healthy and /-/ready alone.").Default("").String()
	logging := promslog.Config{}
	promslogflag.AddFlags(root, &logging)

	commands[cmd.FullCommand()] = func(ctx context.Context, _, stderr io.Writer) int {
		untouched := make([]byte, headroom)
		defer runtime.KeepAlive(untouched)
		c, err := config.Load(*file)
		if err != nil {
			complain(stderr, err)
			return exitUsage
		}
		if err := errors.Join(checkExternalURL(*external), app.CheckAuth(*web.WebConfigFile, c)); err != nil {
			complain(stderr, err)
			return exitUsage
		}
		logging.Writer = stderr
		logger := promslog.New(&logging)
		logger.InfoContext(ctx, "Starting relay", "version", version.Info(), "build", version.BuildContext())
		o := app.Options{
			StoragePath:         *storage,
			ListenAddresses:     *web.WebListenAddresses,
			SystemdSocket:       web.WebSystemdSocket != nil && *web.WebSystemdSocket,
			WebConfigFile:       *web.WebConfigFile,
			PublicListenAddress: *public,
			ExternalURL:         *external,
			Logger:              logger,
		}
		if *autoReload {
			o.AutoReload = autoReloadInterval
		}
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
		o.Reloads = hangups

		relay, err := app.New(ctx, c, o)
		if err != nil {
			complain(stderr, err)
			if wrong := (*app.ConfigError)(nil); errors.As(err, &wrong) {
				return exitUsage
			}
			return exitError
		}
		if err := relay.Run(ctx); err != nil {
			complain(stderr, err)
			return exitError
		}
		return exitFine
	}
}

// checkExternalURL refuses what would make broken links.
func checkExternalURL(text string) error {
	u, err := url.Parse(text)
	if text == "" || err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") {
		return nil
	}
	return errors.New("--web.external-url must start with http:// or https://")
}
