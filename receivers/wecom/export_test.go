package wecom

import "github.com/alertrelay/relay/internal/httpclient"

// Classify is classify for the fuzzer.
func Classify(status int, body []byte, key string) error {
	return classify(&httpclient.Response{Status: status, Body: body}, key)
}

// RobotTypes are the message types of a robot.
func RobotTypes() []string { return robotTypes() }

// AppTypes are those of an application.
func AppTypes() []string { return appTypes() }
