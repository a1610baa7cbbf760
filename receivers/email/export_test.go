package email

// Inlined is what is done to the html of every mail.
func Inlined(document string) string { return inlined(document) }
