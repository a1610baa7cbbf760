package relay

// A Person is somebody of the directory people:, with a name on each channel. A name is empty where the person has none.
type Person struct {
	// Name is the key in the directory.
	Name string
	// Mobile is a phone number, by which DingTalk and WeCom know people too.
	Mobile         string
	DingTalkUserID string
	WeComUserID    string
	SlackID        string
	Email          string
}
