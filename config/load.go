package config

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/strictyaml"
)

// Load reads a configuration file and checks it to the end: it compiles the templates and builds each integration once,
// for their faults. What is wrong with the content is an *Error.
func Load(file string) (*Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(file, data)
}

// Parse is Load for the content of a file that has been read. Relative paths in it start at the folder of file.
func Parse(file string, data []byte) (*Config, error) {
	c := defaults()
	c.file = file
	c.line = func(string) int { return 0 }

	doc, syntax := strictyaml.Parse(data)
	if syntax != nil {
		_, err := c.report([]strictyaml.Fault{*syntax}, nil)
		return nil, err
	}
	decoding := doc.Decode(c, elsewhere)
	c.line = doc.Line
	c.secrets = secretsIn(c)

	found := fault.New()
	c.resolveFiles(found)
	c.resolveTemplates(found)
	for i := range c.Receivers { // after the paths: what an item takes from global: is resolved once
		c.Receivers[i].setDefaults(&c.Global)
	}
	for i := range c.Rooms {
		c.Rooms[i].setDefaults(&c.Global)
	}
	c.validate(found)
	c.tryOut(found)
	var err error
	if c.warnings, err = c.report(decoding, found.All()); err != nil {
		return nil, err
	}
	if c.hash, err = c.sum(data); err != nil {
		return nil, err
	}
	return c, nil
}

// Setups makes all integrations of all receivers, in the order of the file, with the people of the configuration. What is wrong with them is an *Error: Load has
// seen most of it, but a secret's file may have changed.
func (c *Config) Setups(env relay.Env) ([]relay.Setup, error) {
	faults := fault.New()
	env.People = c.People.directory()
	setups := c.build(env, faults)
	if _, err := c.report(nil, faults.All()); err != nil {
		return nil, err
	}
	return setups, nil
}

// Hash tells configurations apart: the file and its templates. It fits into a float64, for a metric.
func (c *Config) Hash() uint64 {
	return binary.BigEndian.Uint64(c.hash[:8]) >> 16
}

func (c *Config) sum(data []byte) ([32]byte, error) {
	h := sha256.New()
	h.Write(data)
	for _, name := range c.templateFiles {
		text, err := os.ReadFile(name)
		if err != nil {
			return [32]byte{}, fmt.Errorf("read template: %w", err)
		}
		fmt.Fprintf(h, "\n%s %d\n", filepath.Base(name), len(text))
		h.Write(text)
	}
	return [32]byte(h.Sum(nil)), nil
}
