// Package secret holds values that must never be printed: tokens, passwords, webhook URLs.
package secret

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// redacted stands for a secret wherever it is printed.
const redacted = "<secret>"

// A String is a secret value. fmt, slog, JSON and YAML print <secret>; only Reveal lets the value out. In YAML it may be
// "${NAME}", which takes the whole value from the environment.
type String struct{ value string }

// New returns value as a secret.
func New(value string) String { return String{value} }

// Reveal returns the value itself.
func (s String) Reveal() string { return s.value }

// IsZero reports whether there is no value.
func (s String) IsZero() bool { return s.value == "" }

// String returns <secret>, or nothing when there is no value.
func (s String) String() string {
	if s.value == "" {
		return ""
	}
	return redacted
}

// Format keeps every verb from printing the value.
func (s String) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue keeps slog from printing the value.
func (s String) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps JSON from printing the value.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML keeps YAML from printing the value.
func (s String) MarshalYAML() (any, error) { return s.String(), nil }

// UnmarshalYAML reads the value, or takes it from the environment when it is "${NAME}".
func (s *String) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil {
		return errors.New("expected text") // the decoder's own error would show the value
	}
	if name, ok := strings.CutPrefix(text, "${"); ok && strings.HasSuffix(name, "}") {
		name = strings.TrimSuffix(name, "}")
		value, ok := os.LookupEnv(name)
		if !ok {
			return fmt.Errorf("environment variable %s is not set", name)
		}
		text = value
	}
	s.value = text
	return nil
}

// A File is the path of a file that holds a secret. Relative paths in a configuration start at its folder; the
// configuration resolves them.
type File string

// A Value is a secret given either directly or as a file that is read at each use, so that rotating it needs no reload.
type Value struct {
	direct String
	file   File
}

// Of combines a key with its _file twin.
func Of(direct String, file File) Value { return Value{direct, file} }

// IsZero reports whether neither is given.
func (v Value) IsZero() bool { return v.direct.IsZero() && v.file == "" }

// Reveal returns the secret, white space around a file's content removed. The error names the file, never its content.
func (v Value) Reveal() (string, error) {
	if v.file == "" {
		return v.direct.Reveal(), nil
	}
	b, err := os.ReadFile(string(v.file))
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", fmt.Errorf("read secret: %s is empty", v.file)
	}
	return text, nil
}

// String returns <secret>, or nothing when neither is given.
func (v Value) String() string {
	if v.IsZero() {
		return ""
	}
	return redacted
}

// Format keeps every verb from printing the value.
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(v.String())) }

// LogValue keeps slog from printing the value.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// ID returns 12 hexadecimal digits that tell a secret from another without revealing it: for names and rate limiters.
func ID(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}
