package engine

type faults struct{}

type faultInForce struct{}

func (*faultInForce) strikes(*job) bool { return false }

func (e *Engine) SetFaults(string) error { return nil }
