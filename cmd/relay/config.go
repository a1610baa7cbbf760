package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/internal/app"
)

const defaultConfigFile = "config.yaml"

// addCheckConfig adds relay check-config, which does all that serve does before it opens store and listeners.
func addCheckConfig(root *kingpin.Application, commands map[string]command) {
	cmd := root.Command("check-config", "Check configuration files and say what was found in them.")
	files := cmd.Arg("file", "Configuration files.").Default(defaultConfigFile).Strings()
	webFile := cmd.Flag("web.config.file", "Check this web configuration file as well, and that it does not clash with the tokens of the configuration.").Default("").String()

	commands[cmd.FullCommand()] = func(_ context.Context, stdout, stderr io.Writer) int {
		code := exitFine
		for _, file := range *files {
			if err := checkConfig(file, *webFile, stdout, stderr); err != nil {
				complain(stderr, err)
				code = exitUsage
			}
		}
		return code
	}
}

func checkConfig(file, webFile string, stdout, stderr io.Writer) error {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	if err := app.CheckAuth(webFile, cfg); err != nil {
		return err
	}
	for _, w := range cfg.Warnings() {
		fmt.Fprintf(stderr, "warning: %s\n", w)
	}
	fmt.Fprintf(stdout, "%s is valid\n%s", file, cfg.Summary())
	return nil
}

// complain prints an error, and counts the faults of a configuration.
func complain(stderr io.Writer, err error) {
	fmt.Fprintln(stderr, err)
	var wrong *config.Error
	if errors.As(err, &wrong) && len(wrong.Faults) > 1 {
		fmt.Fprintf(stderr, "%d faults\n", len(wrong.Faults))
	}
}

// addConfig adds relay config show, which prints a configuration with its defaults and without its secrets, and relay
// config schema.
func addConfig(root *kingpin.Application, commands map[string]command) {
	group := root.Command("config", "Work with the configuration.")
	cmd := group.Command("show", "Print the configuration, defaults filled in and secrets left out.")
	file := configFileFlag(cmd)
	schema := group.Command("schema", "Print the JSON Schema of a configuration file, for editors.")
	commands[schema.FullCommand()] = func(_ context.Context, stdout, stderr io.Writer) int {
		_, err := stdout.Write(config.Schema())
		return exitCode(stderr, err)
	}

	commands[cmd.FullCommand()] = func(_ context.Context, stdout, stderr io.Writer) int {
		cfg, err := config.Load(*file)
		if err != nil {
			complain(stderr, err)
			return exitUsage
		}
		fmt.Fprintln(stdout, strings.TrimSpace(cfg.String()))
		return exitFine
	}
}

func configFileFlag(cmd *kingpin.CmdClause) *string {
	return cmd.Flag("config.file", "Path of the configuration file.").Default(defaultConfigFile).String()
}
