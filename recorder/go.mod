module github.com/alertrelay/relay/recorder

go 1.24.0
