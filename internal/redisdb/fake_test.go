package redisdb_test

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// serve answers each command with what answer makes of its arguments.
func serve(t *testing.T, answer func(line string) string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buffer := make([]byte, 64<<10)
				for {
					n, err := conn.Read(buffer)
					if err != nil {
						return
					}
					for _, line := range commands(string(buffer[:n])) {
						if _, err := conn.Write([]byte(answer(line))); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// commands reads commands that arrive whole.
func commands(text string) (lines []string) {
	fields := strings.Split(text, "\r\n")
	for i := 0; i < len(fields) && strings.HasPrefix(fields[i], "*"); {
		n, _ := strconv.Atoi(fields[i][1:])
		var words []string
		for range n {
			i += 2
			if i < len(fields) {
				words = append(words, fields[i])
			}
		}
		lines = append(lines, strings.Join(words, " "))
		i++
	}
	return lines
}
