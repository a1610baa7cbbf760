package wire

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep values that the relay does not know may be nested.
const maxDepth = 100

// A Reader walks over JSON once, from left to right, where encoding/json walks twice and by reflection. It reads what JSON
// is and nothing else. The first error ends the walk; later calls return nothing.
//
// Its zero value is ready to use. Used again, it knows texts that it has read before. Not for concurrent use.
type Reader struct {
	in  []byte
	at  int
	err error

	// recent are texts read before: labels repeat from alert to alert. They are copies, so that one label that is kept
	// does not keep the body.
	recent  [128]string
	seed    maphash.Seed
	scratch []byte

	own bool // whether the relay's own fields are read
}

// begin starts to read another text.
func (r *Reader) begin(in []byte, own bool) {
	if r.seed == (maphash.Seed{}) {
		r.seed = maphash.MakeSeed()
	}
	r.in, r.at, r.err, r.own = in, 0, nil, own
}

// forget drops the text and what is large of it.
func (r *Reader) forget() {
	const usual = 64 << 10
	r.in = nil
	if cap(r.scratch) > usual {
		r.scratch = nil
	}
}

// end expects nothing more.
func (r *Reader) end() {
	if r.peek(); r.at < len(r.in) {
		r.fail("expected the end")
	}
}

// object calls field with the name of each; field reads the value. The name is valid until it does. Null has no fields.
func (r *Reader) object(field func(name []byte)) {
	if r.null() || !r.expect('{') || r.accept('}') {
		return
	}
	for r.err == nil {
		name := r.quoted()
		if !r.expect(':') {
			return
		}
		field(name)
		if r.accept('}') || !r.expect(',') {
			return
		}
	}
}

// array calls item for each item, which reads it. Null has no items.
func (r *Reader) array(item func()) {
	if r.null() || !r.expect('[') || r.accept(']') {
		return
	}
	for r.err == nil {
		item()
		if r.accept(']') || !r.expect(',') {
			return
		}
	}
}

// text reads a string; null is an empty one.
func (r *Reader) text() string {
	if r.null() {
		return ""
	}
	return r.keep(r.quoted())
}

// keep returns b as a string, and the same string as before where it can.
func (r *Reader) keep(b []byte) string {
	const longest = 1024 // so that a hostile body is not remembered
	if len(b) > longest {
		return string(b)
	}
	slot := &r.recent[maphash.Bytes(r.seed, b)%uint64(len(r.recent))]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}

// time reads a time as RFC 3339; null is the zero time.
func (r *Reader) time() time.Time {
	var t time.Time
	if r.null() {
		return t
	}
	if text := r.quoted(); r.err == nil && t.UnmarshalText(text) != nil {
		r.fail("expected a time as in RFC 3339")
	}
	return t
}

// count reads an integer that is not negative; null is none.
func (r *Reader) count() uint64 {
	if r.null() {
		return 0
	}
	n, err := strconv.ParseUint(string(r.number()), 10, 64)
	if err != nil {
		r.fail("expected a count")
	}
	return n
}

// skip reads a value of any kind.
func (r *Reader) skip() { r.skipBelow(0) }

func (r *Reader) skipBelow(depth int) {
	if depth == maxDepth {
		r.fail("nested too deep")
		return
	}
	switch r.peek() {
	case '"':
		r.quoted()
	case '{':
		r.object(func([]byte) { r.skipBelow(depth + 1) })
	case '[':
		r.array(func() { r.skipBelow(depth + 1) })
	case 't':
		r.word("true")
	case 'f':
		r.word("false")
	case 'n':
		r.word("null")
	default:
		r.number()
	}
}

// number reads a number and leaves its meaning to the caller.
func (r *Reader) number() []byte {
	r.peek()
	start := r.at
	for r.at < len(r.in) && (r.in[r.at]-'0' <= 9 || r.in[r.at] == '-' || r.in[r.at] == '+' || r.in[r.at] == '.' ||
		r.in[r.at]|0x20 == 'e') {
		r.at++
	}
	n := r.in[start:r.at]
	if r.err == nil && !json.Valid(n) {
		r.at = start
		r.fail("expected a value")
	}
	return n
}

// null reports whether the next value is null, and reads it if so.
func (r *Reader) null() bool { return r.peek() == 'n' && r.word("null") }

func (r *Reader) word(word string) bool {
	if len(r.in)-r.at < len(word) || string(r.in[r.at:r.at+len(word)]) != word {
		r.fail("expected a value")
		return false
	}
	r.at += len(word)
	return true
}

// expect reads c.
func (r *Reader) expect(c byte) bool {
	if r.accept(c) {
		return true
	}
	r.fail("expected " + strconv.QuoteRune(rune(c)))
	return false
}

// accept reads c if it is next.
func (r *Reader) accept(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.at++
	return true
}

// peek skips white space and returns the next byte; 0 at the end and after an error.
func (r *Reader) peek() byte {
	if r.err != nil {
		return 0
	}
	for ; r.at < len(r.in); r.at++ {
		switch c := r.in[r.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// quoted reads a string. The result is valid until the next call.
func (r *Reader) quoted() []byte {
	if !r.expect('"') {
		return nil
	}
	start, ascii := r.at, true
	for ; r.at < len(r.in); r.at++ {
		switch c := r.in[r.at]; {
		case c == '"':
			r.at++
			if text := r.in[start : r.at-1]; ascii || utf8.Valid(text) {
				return text
			}
			r.at = start
			return r.unquote()
		case c == '\\':
			r.at = start
			return r.unquote()
		case c < ' ':
			r.fail("control character in a string")
			return nil
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.fail("string without end")
	return nil
}

// unquote reads the rest of a string that is not just its bytes. What is not UTF-8 becomes U+FFFD.
func (r *Reader) unquote() []byte {
	out := r.scratch[:0]
	for r.at < len(r.in) {
		switch c := r.in[r.at]; {
		case c == '"':
			r.at++
			r.scratch = out
			return out
		case c == '\\':
			out = utf8.AppendRune(out, r.escape())
		case c < ' ':
			r.fail("control character in a string")
			return nil
		case c < utf8.RuneSelf:
			out = append(out, c)
			r.at++
		default:
			char, size := utf8.DecodeRune(r.in[r.at:])
			out = utf8.AppendRune(out, char)
			r.at += size
		}
		if r.err != nil {
			return nil
		}
	}
	r.fail("string without end")
	return nil
}

// escape reads a backslash and what it stands for.
func (r *Reader) escape() rune {
	if r.at+1 >= len(r.in) {
		r.fail("string without end")
		return 0
	}
	c := r.in[r.at+1]
	r.at += 2
	switch c {
	case '"', '\\', '/':
		return rune(c)
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'u':
		first, ok := r.hex()
		if !ok {
			r.fail(`bad \u`)
			return 0
		}
		if !utf16.IsSurrogate(first) {
			return first
		}
		return r.pair(first)
	default:
		r.fail("unknown escape")
		return 0
	}
}

// pair reads the second half of a surrogate pair. A half alone is U+FFFD.
func (r *Reader) pair(first rune) rune {
	start := r.at
	if r.at+2 <= len(r.in) && r.in[r.at] == '\\' && r.in[r.at+1] == 'u' {
		r.at += 2
		if second, ok := r.hex(); ok {
			if char := utf16.DecodeRune(first, second); char != utf8.RuneError {
				return char
			}
		}
	}
	r.at = start
	return utf8.RuneError
}

// hex reads four hexadecimal digits.
func (r *Reader) hex() (rune, bool) {
	if r.at+4 > len(r.in) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(r.in[r.at:r.at+4]), 16, 32)
	r.at += 4
	return rune(n), err == nil
}

// fail ends the walk.
func (r *Reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("byte %d: %s", r.at, what)
	}
}
