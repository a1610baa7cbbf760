package redis

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// The layout. All keys of a namespace begin with one prefix, whose hash tag puts them on one node of a cluster; it
// names the version of this format and a shard. What may be long or foreign (group keys, destinations, limiters,
// fingerprints) is in keys only as a hash of 22 characters, by keyOf. Times are microseconds of the server's clock.
//
//	state             hash    what there is once: bytes pending, gen (counts changes of queues), known (the
//	                          configuration of the last claim), born (random, so that a flushed server is recognised),
//	                          clock (the time of the last claim), order (when an entry was last accepted; a clock that
//	                          was set back counts on from there, so that what is newer has the greater time)
//
//	mark:<slot>       string  what was last accepted in a slot: 16 bytes of state, 16 digits of time, id (for the
//	                          retention)
//	saved:<alert>     string  what is saved with one firing of an alert, since it was last seen (for the retention)
//
//	web:<id>          hash    a webhook with entries pending: o entries open, z bytes; of each entry <n> e<n>, what it
//	                          is about, and x<n>, where it goes and what it tells; b<k> bodies, each once
//	waiting           zset    pending entries: entry id → when it was accepted (by order), or requeued
//
//	items:<lane>      list    the entries pending in a lane, oldest first, each "<queue> <accepted> <requeued or 0> <k>
//	                          <folded> <since> <id>": its body is b<k> of its webhook, from 1000000 on its own alone;
//	                          its number is the end of its id; so many were folded into it, the oldest of which was
//	                          accepted then
//	lane:<lane>       hash    what is known of a lane, pending or not: s state last accepted; x of the entry last told,
//	                          told (when), newest (accepted) of all told, ref, peer (who may share its digest); and of
//	                          its head: tries, crashes, bound, apart, alone, rigid, rest, reason, detail, due, place
//	                          (in later), lease (nonce, or empty) (while something is pending, and for the retention)
//
//	queues            hash    <queue> → <integration> and the names of the integration and its limiters: lanes that can
//	                          be told with the same limiters
//	pending           hash    <queue> → entries pending, when there are any
//	ready:<queue>     list    lanes to tell, in order
//	later:<queue>     zset    lanes to tell later: "<2 digits><lane>" → due; the digits keep the order of a digest
//	due               zset    queues with ready or later lanes → when it is worth looking at them
//	missing           zset    <integration> → since when claims do not name it
//	terms:<config>    hash    what one configuration says: gen; i<integration> for those it has; q<queue> →
//	                          <integration>, terms and limiters; l<limiter> → the queues that it serves
//
//	claimed:<relay>   string  the nonce of its last claim that took something: who knows that one has forgotten none
//	                          (for a day)
//	limiters          hash    <limiter> → its name
//	leases            hash    nonce → end, limiter, its queue's limiters, and each lane with its number of entries
//	ends              zset    nonce → end
//	folds             zset    nonce → end, of lanes that are being folded; their leases have "-" in place of a limiter,
//	                          then where the entries begin
//	full              zset    lanes in which more waits than LaneCap, all with score 0
//	flight:<limiter>  zset    nonce → end, of the sends under way
//	stamps:<limiter>  zset    nonce → time, of the sends in the window
//	limiter:<limiter> hash    hold (its end), reason, probing; per and most (the widest limit ever asked for); wait
//	                          (queues that wait for it)
//	holds             zset    <limiter> → end of its hold
//
//	dead              zset    ids of the dead letters, all with score 0: in the order in which they were received
//	died              zset    entry id → when it failed
//	letter:<entry>    hash    a dead letter: e, x as in web; b body; t failed; n attempt; o outcome; l lane; q and d
//	                          its queue and the queue's definition; at accepted
//
//	history           stream  events, oldest first, each with the fields y type, t time, i id of the entry or webhook,
//	                          n attempt (or number of entries), e what it is about, o outcome: of merged the entry that
//	                          told it instead; of what was requeued or dropped that of the dead letter, and n 1 when it
//	                          was forced
//
// As long as something is pending in a lane, it is in one ready list, or in one later zset, or leased. Webhooks are
// found by their accepted events.
const (
	formatVersion = "1"
	shard         = "0"

	keyLength = 22 // of a hash
)

// keyNames begins every script: in it P is the prefix, and P .. MARK .. slot is the key of a mark.
const keyNames = `local P, STATE, MARK, SAVED, WEB, WAITING = KEYS[1], 'state', 'mark:', 'saved:', 'web:', 'waiting'
local ITEMS, LANE, QUEUES, PENDING, READY, LATER = 'items:', 'lane:', 'queues', 'pending', 'ready:', 'later:'
local DUE, MISSING, TERMS, LEASES, ENDS, FLIGHT = 'due', 'missing', 'terms:', 'leases', 'ends', 'flight:'
local STAMPS, LIMITER, HOLDS, DEAD, DIED, LETTER = 'stamps:', 'limiter:', 'holds', 'dead', 'died', 'letter:'
local LIMITERS, FULL, FOLDS, HISTORY, CLAIMED = 'limiters', 'full', 'folds', 'history', 'claimed:'
`

// Prefix begins every key of a namespace. Scripts get it as KEYS[1].
func Prefix(namespace string) string {
	return "{relay:" + formatVersion + ":" + namespace + ":" + shard + "}:"
}

// keyOf is a hash as keys have it: 22 characters.
func keyOf[H ~[16]byte](hash H) string { return base64.RawURLEncoding.EncodeToString(hash[:]) }

// hashed is the key of texts that may be long or foreign.
func hashed(texts ...string) string {
	var space [256]byte
	b := space[:0]
	for _, t := range texts {
		b = binary.AppendUvarint(b, uint64(len(t)))
		b = append(b, t...)
	}
	sum := sha256.Sum256(b)
	return keyOf([16]byte(sum[:16]))
}

// alertKey is the key of one firing of one alert.
func alertKey(k relay.AlertKey) string {
	return hashed(k.Fingerprint, strconv.FormatInt(k.StartsAt.Unix(), 10), strconv.Itoa(k.StartsAt.Nanosecond()))
}

// peer is what the lanes of one digest have in common; empty when a lane is in none.
func peer(l outbox.Lane) string {
	if l.Destination == "" {
		return ""
	}
	return hashed(l.Destination, l.Room)
}

// A queue is an integration and the limiters that entries were accepted with.
type queue struct {
	integration relay.IntegrationID
	limiters    []relay.LimiterID
}

func (q queue) key() string {
	texts := make([]string, 0, 8)
	texts = append(texts, string(q.integration))
	for _, id := range q.limiters {
		texts = append(texts, string(id))
	}
	return hashed(texts...)
}

// definition is what Redis knows a queue as: the key of its integration, then the names.
func (q queue) definition() []byte {
	var e encoder
	e.text(string(q.integration))
	e.limiters(q.limiters)
	return append([]byte(hashed(string(q.integration))), e...)
}

func decodeQueue(definition string) (queue, error) {
	d := &decoder{rest: definition[min(keyLength, len(definition)):]}
	q := queue{relay.IntegrationID(d.text()), d.limiters()}
	return q, d.err()
}
