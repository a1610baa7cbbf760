// Package outboxtest holds what tests need of the outbox: the conformance suite that every Store passes, and Memory, the
// naive store that is the model of the suite and the store of other packages' tests.
package outboxtest
