package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	promconfig "github.com/prometheus/common/config"

	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/internal/strictyaml"
)

// resolveFiles lets the paths of secrets and certificates start at the configuration's folder, in the sections of all
// stages, and checks that the files of secrets are there.
func (c *Config) resolveFiles(f *fault.List) {
	strictyaml.Walk(c, func(path string, v reflect.Value) bool {
		if !v.CanAddr() {
			return true
		}
		switch v := v.Addr().Interface().(type) {
		case *secret.File:
			if *v == "" {
				return false
			}
			*v = secret.File(c.absolute(string(*v)))
			if err := readable(string(*v)); err != nil {
				f.In(path).Addf("%s", err)
			}
			return false
		case promconfig.DirectorySetter:
			v.SetDirectory(c.folder())
			return false
		}
		return true
	})
}

// resolveTemplates finds the files that the patterns of templates: name.
func (c *Config) resolveTemplates(f *fault.List) {
	f = f.In("templates")
	for i, pattern := range c.Templates {
		pattern = c.absolute(pattern)
		c.Templates[i] = pattern
		if !strings.ContainsAny(pattern, `*?[`) {
			if err := readable(pattern); err != nil {
				f.Item(i).Addf("%s", err)
				continue
			}
			c.addTemplates(pattern)
			continue
		}
		found, err := filepath.Glob(pattern)
		if err != nil {
			f.Item(i).Addf("not a valid pattern")
		}
		c.addTemplates(found...)
	}
}

// addTemplates notes template files, each once.
func (c *Config) addTemplates(names ...string) {
	for _, name := range names {
		if !slices.Contains(c.templateFiles, name) {
			c.templateFiles = append(c.templateFiles, name)
		}
	}
}

// folder is where relative paths start.
func (c *Config) folder() string { return filepath.Dir(c.file) }

func (c *Config) absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.folder(), path)
}

// readable tells why a file cannot be read; nil when it can.
func readable(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return plain(err)
	}
	if info.IsDir() {
		return &fs.PathError{Op: "open", Path: name, Err: errors.New("is a directory")}
	}
	if !info.Mode().IsRegular() {
		return nil // a pipe can be read once only: not now
	}
	file, err := os.Open(name)
	if err != nil {
		return plain(err)
	}
	return file.Close()
}

// plain tells an error of a file as a person would: open, whatever call it was.
func plain(err error) error {
	var ofPath *fs.PathError
	if errors.As(err, &ofPath) {
		return &fs.PathError{Op: "open", Path: ofPath.Path, Err: ofPath.Err}
	}
	return err
}

// secretsIn collects the values that must never be shown, to take them out of the texts of errors.
func secretsIn(c *Config) []string {
	const shortest = 4 // shorter ones are in every text
	var found []string
	strictyaml.Walk(c, func(_ string, v reflect.Value) bool {
		var value string
		switch s := v.Interface().(type) {
		case secret.String:
			value = s.Reveal()
		case promconfig.Secret:
			value = string(s)
		case promconfig.URL:
			if s.URL != nil {
				value, _ = s.User.Password()
			}
		default:
			return true
		}
		if len(value) >= shortest {
			found = append(found, value)
		}
		return false
	})
	return found
}
