package redisdb

import (
	"context"
	"errors"
	"slices"

	goredis "github.com/redis/go-redis/v9"
)

// A run is one run of a script, for one call or, of a joint script, for several; or it is some commands of one caller.
type run struct {
	calls []*pending
	args  []any
	sent  []*goredis.Cmd // one, or those commands
}

// commands tells whether there is no script to run.
func (r *run) commands() bool { return r.calls[0].Script == nil }

// runsOf puts calls together that can share a run.
func runsOf(calls []*pending) []*run {
	var all []*run
	for _, p := range calls {
		at, joint := -1, p.Script != nil && p.Script.joint
		if joint {
			at = slices.IndexFunc(all, func(r *run) bool { return r.calls[0].joins(p) })
		}
		if at < 0 {
			at = len(all)
			all = append(all, &run{args: slices.Clone(p.Head)})
		}
		r := all[at]
		r.calls = append(r.calls, p)
		if joint {
			r.args = append(r.args, len(p.Args))
		}
		r.args = append(r.args, p.Args...)
	}
	return all
}

// joins tells whether two calls of a joint script can share a run.
func (p *pending) joins(other *pending) bool {
	return p.Script == other.Script && slices.Equal(p.Keys, other.Keys) && slices.Equal(p.Head, other.Head)
}

// each tells what each call of the run is answered, or why it is not.
func (r *run) each(do func(p *pending, answer any, err error)) {
	if r.commands() {
		answers, err := answersOf(r.sent)
		do(r.calls[0], answers, err)
		return
	}
	answer, err := r.sent[0].Result()
	if errors.Is(err, goredis.Nil) {
		err = nil
	}
	if err != nil || !r.calls[0].Script.joint {
		for _, p := range r.calls {
			do(p, answer, err)
		}
		return
	}
	answers, ok := answer.([]any)
	for i, p := range r.calls {
		switch {
		case !ok || len(answers) != len(r.calls):
			do(p, nil, errAnswers)
		default:
			if failed, is := answers[i].(string); is {
				do(p, nil, stepError(failed))
			} else {
				do(p, answers[i], nil)
			}
		}
	}
}

// A stepError is why a joint script did not do one of its calls. It is an error of Redis, as goredis.Error has them.
type stepError string

// Error is what Redis said, the kind first.
func (e stepError) Error() string { return string(e) }

// RedisError implements goredis.Error.
func (stepError) RedisError() {}

// errAnswers is what a joint script answers that has not one answer for each call.
var errAnswers = errors.New("not one answer for each call")

// scripts counts the runs that are of a script.
func scripts(runs []*run) int {
	n := 0
	for _, r := range runs {
		if !r.commands() {
			n++
		}
	}
	return n
}

// sentBy are all commands of some runs, and the one that waits for replicas, when there is one.
func sentBy(runs []*run, acks *goredis.Cmd) []*goredis.Cmd {
	var all []*goredis.Cmd
	for _, r := range runs {
		all = append(all, r.sent...)
	}
	if acks != nil {
		all = append(all, acks)
	}
	return all
}

func anyFailed(sent []*goredis.Cmd) bool {
	return slices.ContainsFunc(sent, func(c *goredis.Cmd) bool { return c.Err() != nil })
}

// An evaluator has a pipeline run a script: by its name, which the server may have forgotten, or by its text.
type evaluator func(context.Context, goredis.Pipeliner, *run) *goredis.Cmd

func bySHA(ctx context.Context, p goredis.Pipeliner, r *run) *goredis.Cmd {
	return p.EvalSha(ctx, r.calls[0].Script.sha, r.calls[0].Keys, r.args...)
}

func bySource(ctx context.Context, p goredis.Pipeliner, r *run) *goredis.Cmd {
	return p.Eval(ctx, r.calls[0].Script.source, r.calls[0].Keys, r.args...)
}
