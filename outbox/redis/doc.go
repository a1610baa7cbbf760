// Package redis is the store of several relays that share the work: the outbox in one Redis, or Valkey. What is
// pending, what is leased and what each limiter has used is there and nowhere else, so any relay can die at any moment
// and another goes on.
//
// Its promise is that of outbox.Store. Each change is one script, which Redis runs as one step: after a crash or a
// failover what is left is a prefix of whole steps. The only clock is the server's.
package redis
