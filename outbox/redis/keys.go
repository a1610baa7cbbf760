package redis

// The layout. All keys of a namespace begin with one prefix, whose hash tag puts them on one node of a cluster; it names the
// version of this format and a shard. What may be long or foreign (group keys, destinations, limiters, fingerprints) is in
// keys only as a hash of 22 characters, by keyOf. Times are microseconds of the server's clock, but for those of receipt.
//
//	state             hash    what there is once: pending, lanes, bytes (counters), gen (counts changes of queues), known (the
//	                          configuration of the last claim), born (random, so that a flushed server is recognised)
//
//	mark:<slot>       hash    what was last accepted in a slot: s state, t time, id, n duplicates since     (for the retention)
//	saved:<alert>     string  what is saved with one firing of an alert, since it was last seen            (for the retention)
//
//	web:<id>          hash    a webhook with entries pending: o entries open, z bytes; of each entry <n> e<n>, what it is about,
//	                          and x<n>, where it goes and what it tells; b<k> bodies, each once
//	waiting           zset    pending entries: entry id → when it was received, or requeued
//
//	items:<lane>      list    the entries pending in a lane, oldest first, each "<queue> <received> <requeued or 0> <k> <id>":
//	                          its body is b<k> of its webhook, its number is the end of its id
//	lane:<lane>       hash    what is known of a lane, pending or not: s state last accepted; x of the entry last told, newest
//	                          (received) of all told, ref; and of its head: tries, crashes, bound, apart, alone, rest, reason,
//	                          detail, due                        (while something is pending, and then for the retention)
//
//	queues            hash    <queue> → an integration and its limiters: lanes that can be told with the same limiters
//	pending           hash    <queue> → entries pending
//	ready:<queue>     list    lanes to tell, in order
//	later:<queue>     zset    lanes to tell later: "<2 digits><lane>" → due; the digits keep the order of a digest
//	due               zset    queues with ready or later lanes → when it is worth looking at them
//	missing           zset    <queue> → since when claims do not name its integration
//	terms:<config>    hash    what one configuration says: gen; q<queue> → terms and limiters; l<limiter> → its queues;
//	                          i<integration>
//
//	leases            hash    nonce → end, limiter, its queue's limiters, and each lane with its number of entries
//	ends              zset    nonce → end
//	flight:<limiter>  zset    nonce → end, of the sends under way
//	stamps:<limiter>  zset    nonce → time, of the sends in the window
//	limiter:<limiter> hash    hold (its end), reason, probing; per and most (the widest limit ever asked for); wait (queues
//	                          that wait for it)
//	holds             zset    <limiter> → end of its hold
//
//	dead              zset    ids of the dead letters, all with score 0: in the order in which they were received
//	died              zset    entry id → when it failed
//	letter:<entry>    hash    a dead letter: e, x as in web; b body; q queue; at received; t failed; n attempt; o outcome
//
//	history           stream  events, oldest first, each with the fields y type, t time, i id of the entry or webhook, n attempt
//	                          (or number of entries), e what it is about, o outcome; in place of an outcome its detail alone,
//	                          where there was none: merged, requeued, dropped
//
// As long as something is pending in a lane, it is in one ready list, or in one later zset, or leased. Webhooks are found by
// their accepted events.
const (
	formatVersion = "1"
	shard         = "0"
)

// KeyNames begins every script: in it P is the prefix, and the other names are the parts of keys above.
const KeyNames = `local P = KEYS[1]
local STATE, MARK, SAVED, WEB, WAITING = P .. 'state', P .. 'mark:', P .. 'saved:', P .. 'web:', P .. 'waiting'
local ITEMS, LANE, QUEUES, PENDING = P .. 'items:', P .. 'lane:', P .. 'queues', P .. 'pending'
local READY, LATER, DUE, MISSING = P .. 'ready:', P .. 'later:', P .. 'due', P .. 'missing'
local TERMS, LEASES, ENDS, FLIGHT = P .. 'terms:', P .. 'leases', P .. 'ends', P .. 'flight:'
local STAMPS, LIMITER, HOLDS = P .. 'stamps:', P .. 'limiter:', P .. 'holds'
local DEAD, DIED, LETTER, HISTORY = P .. 'dead', P .. 'died', P .. 'letter:', P .. 'history'
`

// Prefix begins every key of a namespace. Scripts get it as KEYS[1].
func Prefix(namespace string) string {
	return "{relay:" + formatVersion + ":" + namespace + ":" + shard + "}:"
}
