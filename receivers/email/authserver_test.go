package email_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/stretchr/testify/require"
)

// An authServer tells Postfix who may authenticate: relay with the password hunter2. Postfix asks it as it asks Dovecot:
// https://doc.dovecot.org/main/developers/design/auth_protocol.html
type authServer struct {
	mu        sync.Mutex
	mechanism string
	taken     []string
}

// offer is the mechanism to offer from the next connection on.
func (a *authServer) offer(mechanism string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mechanism = mechanism
}

// used are the mechanisms by which somebody was let in.
func (a *authServer) used() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.taken)
}

func startAuthServer(t *testing.T, path string) *authServer {
	t.Helper()
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	require.NoError(t, os.Chmod(path, 0o666))
	a := &authServer{mechanism: "PLAIN"}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { a.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return a
}

func (a *authServer) serve(conn net.Conn) {
	defer conn.Close()
	a.mu.Lock()
	mechanism := a.mechanism
	a.mu.Unlock()
	fmt.Fprintf(conn, "VERSION\t1\t1\nMECH\t%s\nSPID\t1\nCUID\t1\nCOOKIE\t00\nDONE\n", mechanism)
	asked := map[string]sasl.Server{}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		fields := strings.Split(lines.Text(), "\t")
		switch {
		case fields[0] == "AUTH" && len(fields) > 2:
			asked[fields[1]] = a.server(fields[2])
			a.step(conn, fields[1], mechanism, asked[fields[1]], strings.TrimPrefix(fields[len(fields)-1], "resp="))
		case fields[0] == "CONT" && asked[fields[1]] != nil:
			a.step(conn, fields[1], mechanism, asked[fields[1]], fields[2])
		}
	}
}

func (a *authServer) step(conn net.Conn, id, mechanism string, server sasl.Server, encoded string) {
	var response []byte
	if decoded, err := base64.StdEncoding.DecodeString(encoded); err == nil && encoded != "" {
		response = decoded
	}
	challenge, done, err := server.Next(response)
	switch {
	case err != nil:
		fmt.Fprintf(conn, "FAIL\t%s\tuser=relay\n", id)
	case done:
		a.mu.Lock()
		a.taken = append(a.taken, mechanism)
		a.mu.Unlock()
		fmt.Fprintf(conn, "OK\t%s\tuser=relay\n", id)
	default:
		fmt.Fprintf(conn, "CONT\t%s\t%s\n", id, base64.StdEncoding.EncodeToString(challenge))
	}
}

func (a *authServer) server(mechanism string) sasl.Server {
	check := func(user, password string) error {
		if user != "relay" || password != "hunter2" {
			return fmt.Errorf("not %s", user)
		}
		return nil
	}
	switch mechanism {
	case "LOGIN":
		return &loginServer{check: check}
	case "CRAM-MD5":
		return &cramServer{key: "hunter2", check: func(user string, ok bool) error {
			if !ok {
				return fmt.Errorf("not %s", user)
			}
			return check(user, "hunter2")
		}}
	}
	return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) })
}
