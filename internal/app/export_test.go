package app

// CloseStore makes the store fail from now on.
func (a *App) CloseStore() error { return a.stores.outbox.Close() }
