// Package acceptance holds the tests that run the released program with real neighbours: Alertmanager from Debian and the
// newest one, Postfix, and the sandbox in place of the three chat vendors. It has no code of its own.
package acceptance
