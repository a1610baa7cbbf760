package receiverstest

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
)

// Codes are the error codes of a vendor and their kinds, as the table below a heading of a reference page tells them: the
// first column has the codes, "430101–430104" being all from the one to the other, and a column has the kind in backticks.
// A row without a kind goes with the one above; one with words beside its codes is left out.
func Codes(t *testing.T, page, heading string) map[string]relay.Kind {
	t.Helper()
	text, err := os.ReadFile("../../docs/reference/receivers/" + page)
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n"+heading+"\n")
	require.True(t, found, heading)
	section, _, _ = strings.Cut(section, "\n## ")
	codes := map[string]relay.Kind{}
	row := regexp.MustCompile(`(?m)^\| ([-–, 0-9]+?)(?:, others|, any other)? \|.*?\| ` + "`([a-z_]+)`")
	for _, cells := range row.FindAllStringSubmatch(section, -1) {
		for code := range strings.SplitSeq(cells[1], ", ") {
			first, last, isRange := strings.Cut(code, "–")
			from, err := strconv.Atoi(first)
			require.NoError(t, err, cells[0])
			to := from
			if isRange {
				to, err = strconv.Atoi(last)
				require.NoError(t, err, cells[0])
			}
			for ; from <= to; from++ {
				codes[strconv.Itoa(from)] = relay.Kind(cells[2])
			}
		}
	}
	require.NotEmpty(t, codes)
	return codes
}
