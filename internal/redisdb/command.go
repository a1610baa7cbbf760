package redisdb

import (
	"context"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"
)

// A Command is a command that is no script, with its arguments, which begin with its keys.
type Command []any

// Do runs commands and returns what each answers, or an error of its own in that place. With a single server they travel
// with the calls that come at the same time. In a cluster they go alone, so that a node that hangs holds up nothing of
// another. An error wraps ErrUnavailable: then any of them may have run.
func (db *DB) Do(ctx context.Context, commands []Command) ([]any, error) {
	if !db.Single() {
		return db.doAlone(ctx, commands)
	}
	p := &pending{ctx: ctx, done: make(chan struct{}), commands: commands}
	err := db.put(ctx, db.other, p)
	var answer any
	if err == nil {
		answer, err = p.wait(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	return answer.([]any), nil
}

// Single tells whether there is one server alone, so that one command may have any keys; a cluster has several.
func (db *DB) Single() bool {
	_, single := db.client.(*goredis.Client)
	return single
}

func (db *DB) doAlone(ctx context.Context, commands []Command) ([]any, error) {
	pipeline := db.client.Pipeline()
	sent := send(ctx, pipeline, commands)
	_, err := pipeline.Exec(ctx)
	answers, unanswered := answersOf(sent)
	if unanswered == nil && err != nil && !anyFailed(sent) { // there was no connection, because the server refused it
		unanswered = err
	}
	if err := db.Fault(ctx, unanswered); err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	return answers, nil
}

// send puts commands into a pipeline.
func send(ctx context.Context, p goredis.Pipeliner, commands []Command) []*goredis.Cmd {
	sent := make([]*goredis.Cmd, len(commands))
	for i, c := range commands {
		sent[i] = p.Do(ctx, c...)
	}
	return sent
}

// answersOf are what each command is answered, which may be an error of the server.
func answersOf(sent []*goredis.Cmd) ([]any, error) {
	answers := make([]any, len(sent))
	for i, cmd := range sent {
		answer, err := cmd.Result()
		var refused goredis.Error
		switch {
		case err == nil:
			answers[i] = answer
		case errors.Is(err, goredis.Nil):
		case errors.As(err, &refused):
			answers[i] = err
		default:
			return nil, err
		}
	}
	return answers, nil
}
