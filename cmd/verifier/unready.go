package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
)

// unready says for people why nothing can be checked, nil while it can be.
func (v *verifier) unready() error {
	err := v.ready()
	if err == nil {
		return nil
	}
	for _, more := range []func() error{v.unread, v.keysMissing, func() error { return v.meter.Check(nil) }, v.silent} {
		if why := more(); why != nil {
			return why
		}
	}
	return err
}

// unread names what was not read yet.
func (v *verifier) unread() error {
	unheard := v.freshness.Unheard()
	if len(unheard) == 0 {
		return nil
	}
	missing := make([]string, 0, len(unheard))
	for _, kind := range unheard {
		if kind == store.KindKeySecret { // the records are read with the keys
			return fmt.Errorf("the Secret %s/%s was not read yet: where the log says that it is forbidden, set --namespace to the operator's", v.Namespace, keys.SecretName)
		}
		missing = append(missing, kind.String())
	}
	return errors.New("not read yet: " + strings.Join(missing, ", "))
}

// keysMissing says that there are no keys where they are looked for.
func (v *verifier) keysMissing() error {
	if v.ring.Status() == keys.StatusLoaded {
		return nil
	}
	return fmt.Errorf("there is no key in the Secret %s/%s, which the manager makes: start it, or set --namespace to the operator's; where keys were lost, restore them", v.Namespace, keys.SecretName)
}

// silent says since when the API server says nothing.
func (v *verifier) silent() error {
	now := clock.RealClock{}.Now()
	if err := v.freshness.Check(now, v.maxStaleness); err == nil {
		return nil
	}
	quietest, heard := v.freshness.Quietest()
	return fmt.Errorf("nothing was heard from the API server of %s since %s, which is more than --max-staleness (%s)", quietest, heard.Format(time.RFC3339), v.maxStaleness)
}
