// Package outbox is the durable middle of the path: what was accepted and is not yet told. Store is its contract; the
// embedded form is in outbox/bolt, the conformance suite in outbox/outboxtest.
//
// The unit of order and lease is the lane: the pending entries of one alert group for one destination. The unit of rate
// is the limiter: a vendor credential with an exact sliding window and, after a refusal, a hold. One claim is one send
// slot, so a rate is never exceeded whatever the number of workers.
package outbox
