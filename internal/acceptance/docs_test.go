package acceptance_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
)

// TestLinks follows every relative link of the documentation.
func TestLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)
	var broken []string
	require.NoError(t, filepath.WalkDir(parts.Root(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", "build", "testdata"}, d.Name()) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".md") {
			return nil
		}
		page, err := os.ReadFile(path)
		prose := regexp.MustCompile("`[^`]*`").ReplaceAllString(string(page), "")
		for _, m := range link.FindAllStringSubmatch(prose, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				broken = append(broken, path+": "+m[1])
			}
		}
		return err
	}))
	require.Empty(t, broken, "links to nowhere")
}

// TestTheProofNamesTests: each test that the explanation names is there.
func TestTheProofNamesTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(parts.Root(), "docs", "explanation", "proof.md"))
	require.NoError(t, err)
	var source strings.Builder
	require.NoError(t, filepath.WalkDir(parts.Root(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, "_test.go") {
			text, err := os.ReadFile(path)
			source.Write(text)
			return err
		}
		return err
	}))
	names := regexp.MustCompile("`(Test[A-Za-z0-9]+)(?:/([^`]+))?`").FindAllStringSubmatch(string(page), -1)
	require.NotEmpty(t, names)
	var missing []string
	for _, name := range names {
		if !strings.Contains(source.String(), "func "+name[1]+"(t *testing.T)") ||
			name[2] != "" && !strings.Contains(source.String(), `"`+name[2]+`"`) {
			missing = append(missing, name[0])
		}
	}
	require.Empty(t, missing)
}
