package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/config"
)

var update = flag.Bool("update", false, "rewrite what the bad files in testdata want")

// TestBadFiles loads a file for each mistake that people make. The end of the file says what the relay answers.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.bad.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".bad.yaml"), func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(file)
			var wrong *config.Error
			require.ErrorAs(t, err, &wrong)
			folder, err := filepath.Abs("testdata")
			require.NoError(t, err)
			got := strings.NewReplacer(file, "config.yaml", folder+"/", "", "testdata/", "").Replace(wrong.Error())
			if *update {
				rewrite(t, file, got)
			}
			require.Equal(t, wanted(t, file), got)
		})
	}
}

const wantMark = "# want: "

// wanted returns the lines of a file that begin with the mark.
func wanted(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var want []string
	for line := range strings.Lines(string(text)) {
		if line, ok := strings.CutPrefix(line, wantMark); ok {
			want = append(want, strings.TrimSpace(line))
		}
	}
	return strings.Join(want, "\n")
}

// rewrite replaces the marked lines of a file.
func rewrite(t *testing.T, file, got string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	body, _, _ := strings.Cut(string(text), wantMark)
	body += wantMark + strings.ReplaceAll(got, "\n", "\n"+wantMark) + "\n"
	require.NoError(t, os.WriteFile(file, []byte(body), 0o600))
}

func TestDefaults(t *testing.T) {
	t.Setenv("TZ", "Asia/Shanghai")
	c, err := config.Parse("config.yaml", []byte("receivers: [{name: ops}]\nroute: {receiver: ops}"))
	require.NoError(t, err)
	require.Equal(t, "zh-CN", c.Global.Locale)
	require.Equal(t, "Asia/Shanghai", c.Global.Location().String())
	require.Equal(t, 10*time.Minute, time.Duration(c.Dedupe.Window))
	require.Equal(t, 24*time.Hour, time.Duration(c.Delivery.MaxAge))
	require.Equal(t, 64, c.Delivery.Workers)
	require.Equal(t, 100000, c.Delivery.MaxPending)
	require.Equal(t, 7*24*time.Hour, time.Duration(c.Delivery.Retention))
	require.Empty(t, c.Warnings())
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	_, err := config.Load("testdata/nowhere.yaml")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.EqualError(t, err, "read configuration: open testdata/nowhere.yaml: no such file or directory")
}
