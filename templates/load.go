package templates

import (
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	texttemplate "text/template"

	"github.com/prometheus/alertmanager/template"
)

//go:embed *.tmpl
var embedded embed.FS

// maxSource bounds the bytes of a template's source.
const maxSource = 1 << 20

// A file is one template file, read.
type file struct {
	path, name, content string
}

// alertmanagerTemplates returns Alertmanager's default templates with its functions, and ours beside them. Where both
// have a name, Alertmanager's function holds.
// late are those that depend on the execution: they hold over all, and each executor brings its own.
func alertmanagerTemplates(ours, late map[string]any) (*texttemplate.Template, *htmltemplate.Template, error) {
	var text *texttemplate.Template
	var html *htmltemplate.Template
	_, err := template.FromGlobs(nil, func(t *texttemplate.Template, h *htmltemplate.Template) {
		text, html = t.Funcs(ours), h.Funcs(ours)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("parse Alertmanager's templates: %w", err)
	}
	return text.Funcs(late), html.Funcs(late), nil
}

// builtinFiles returns our own templates.
func builtinFiles() ([]file, error) {
	var files []file
	err := fs.WalkDir(embedded, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := embedded.ReadFile(path)
		files = append(files, file{path: path, name: path, content: string(content)})
		return err
	})
	return files, err
}

// readGlobs reads the files that globs match, each once. A glob that matches nothing is a warning: it may match later.
func readGlobs(globs []string) (files []file, warnings []error, err error) {
	var faults []error
	var seen []string
	for _, glob := range globs {
		paths, err := filepath.Glob(glob)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", glob, err))
			continue
		}
		if len(paths) == 0 {
			warnings = append(warnings, fmt.Errorf("%s: matches no file", glob))
		}
		for _, path := range paths {
			if slices.Contains(seen, path) {
				continue
			}
			seen = append(seen, path)
			f, err := readFile(path)
			if err != nil {
				faults = append(faults, err)
				continue
			}
			files = append(files, f)
		}
	}
	return files, warnings, errors.Join(faults...)
}

func readFile(path string) (file, error) {
	info, err := os.Stat(path)
	if err != nil {
		return file{}, err
	}
	if info.Size() > maxSource {
		return file{}, fmt.Errorf("%s: %d bytes are more than %d", path, info.Size(), maxSource)
	}
	content, err := os.ReadFile(path) // #nosec G304: the operator names the path.
	if err != nil {
		return file{}, err
	}
	return file{path: path, name: filepath.Base(path), content: string(content)}, nil
}
