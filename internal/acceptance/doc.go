// Package acceptance holds the tests that run the released program with real neighbours: Alertmanager from Debian and the
// newest one, Prometheus, Postfix, a service of the kind that teams write, and the sandbox in place of the three chat
// vendors. It has no code of its own.
package acceptance
