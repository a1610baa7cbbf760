// Package relay holds the nouns that every stage of the relay shares: a notification and its alerts, the context of the
// request behind an alert, a delivery, a message, and the contract of an integration.
//
// The folders beside it are the path of a notification:
//
//	webhook/    way in: HTTP, authentication, limits, decoding, the answer
//	dedupe/     is this what was last accepted for this group?
//	enrich/     trace_id, room_id and user_agent for each alert
//	snapshots/  beside it: what applications recorded
//	route/      which receivers: one entry per destination
//	outbox/     durable: dedupe mark, snapshots and entries in one step; lanes, leases, slots
//	deliver/    workers: claim, render, send, settle
//	templates/  every word a human reads
//	receivers/  way out: one folder per integration
//
// It imports nothing of ours, so that every stage may import it.
package relay
