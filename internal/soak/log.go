package soak

import "time"

// A Log is everything that was seen from outside during one run.
type Log struct {
	// Attempts are the posts of the pair with their answers, in any order.
	Attempts []Attempt
	// Tellings are what readers saw, in the order in which they saw it.
	Tellings []Telling
	// Dead are the dead letters at the end.
	Dead []Dead
	// Calls are the requests to the vendors, in the order in which they came.
	Calls []Call
	// Kills are the times without the program, in order. Being asked to end is none of them.
	Kills []Kill

	// Destinations are those that a group's notifications are for.
	Destinations func(group int) []string
	// Each tells of a destination that it gets a message for each notification: nothing is merged.
	Each func(destination string) bool
	// Limits are the most calls of each limiter in any window; one that is missing has none.
	Limits map[string]Limit
	// Unsettled bounds the sends of one limiter that a kill may make the program forget: those under way, and those whose
	// end was not yet durable.
	Unsettled int
	// Window is that of the dedupe.
	Window time.Duration
}

// A Kill is a time without the program: it was killed, or stood still.
type Kill struct {
	At, Back time.Time
	Stall    bool
}

// A Limit is how many calls a limiter may make in any window of Per.
type Limit struct {
	Calls int
	Per   time.Duration
}

// An Attempt is one request of an Alertmanager.
type Attempt struct {
	Post

	// Facts are what the body says, sorted by alert; a resolved alert is there only in its resolved form.
	Facts []Fact
	// Reminder says that the body says so, which makes it another state.
	Reminder bool
	// Sent and Answered are when the request began and when its answer was there, or was given up.
	Sent, Answered time.Time
	Verdict        Verdict
	// ID is that of the answer.
	ID string
}

// A Verdict is how an attempt was answered.
type Verdict int

// The verdicts. After Unknown (no answer, or 503) the attempt may have been accepted all the same.
const (
	Unknown Verdict = iota
	Accepted
	Duplicate
	Refused // 4xx: never accepted
)

// A Telling is one message that a reader saw.
type Telling struct {
	At          time.Time
	Destination string
	Limiter     string
	Marks       []Mark
	// Part counts from 1 when the message is one of several of a delivery; else 0.
	Part int
	// Counted is how many alerts the message only counts.
	Counted int
	// AnswerLost says that a fault kept the vendor's answer from the sender.
	AnswerLost bool
}

// A Dead letter is what one notification was to tell a destination.
type Dead struct {
	ID          string
	Destination string
	Marks       []Mark
}

// A Call is one request to a vendor, whatever became of it, but for those that were given up while the vendor said
// nothing: when they count as made is anybody's guess.
type Call struct {
	At      time.Time
	Limiter string
	// TooMany says that the vendor itself refused it for its rate.
	TooMany bool
	// Rest is for how long the vendor then wants to hear nothing.
	Rest time.Duration
}
