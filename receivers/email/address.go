package email

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"unicode"
)

// parseAddresses reads a list of addresses with commas between them (RFC 5322 §3.4). What it returns holds no control
// character, so nothing in it can start a new line in a header or in the SMTP dialogue.
func parseAddresses(list string) ([]*mail.Address, error) {
	addresses, err := mail.ParseAddressList(strings.Trim(list, " \t\r\n,"))
	if err != nil {
		return nil, fmt.Errorf("no list of mail addresses: %w", err)
	}
	if len(addresses) == 0 {
		return nil, errors.New("no list of mail addresses: it is empty")
	}
	for _, a := range addresses {
		a.Name = oneLine(a.Name, maxHeaderRunes)
		if strings.ContainsFunc(a.Address, func(r rune) bool { return unicode.IsControl(r) || r == '<' || r == '>' }) {
			return nil, fmt.Errorf("no mail address: %q", a.Address)
		}
	}
	return addresses, nil
}

// parseSender reads exactly one address.
func parseSender(from string) (*mail.Address, error) {
	addresses, err := parseAddresses(from)
	if err != nil {
		return nil, err
	}
	if len(addresses) != 1 {
		return nil, fmt.Errorf("must be exactly one address, not %d", len(addresses))
	}
	return addresses[0], nil
}

// format is the inverse of parseAddresses.
func format(addresses []*mail.Address) string {
	out := make([]string, len(addresses))
	for i, a := range addresses {
		out[i] = a.String()
	}
	return strings.Join(out, ", ")
}

// domain is what follows the at sign.
func domain(a *mail.Address) string { return a.Address[strings.LastIndexByte(a.Address, '@')+1:] }
