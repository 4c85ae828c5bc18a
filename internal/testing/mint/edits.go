package mint

import (
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// Edit changes a record before it is sealed.
type Edit = func(*v1alpha1.TokenRecord)

// OwnedBy makes it one of the AccessToken of this UID.
func OwnedBy(uid string) Edit {
	return func(rec *v1alpha1.TokenRecord) {
		rec.Name = token.DeclaredID(uid, rec.Spec.Revision)
		rec.Spec.AccessTokenUID, rec.Spec.Subject.UID = uid, uid
	}
}

// Aging makes a token end at an age.
func Aging(age time.Duration) Edit {
	return func(rec *v1alpha1.TokenRecord) {
		seconds := int64(age / time.Second)
		rec.Spec.MaxAgeSeconds = &seconds
		rec.Spec.NotAfter = endOf(rec, age)
	}
}

// Sliding makes use extend a token by an age, up to a hard end.
func Sliding(age, lifetime time.Duration) Edit {
	return func(rec *v1alpha1.TokenRecord) {
		Aging(age)(rec)
		rec.Spec.ExtendWhenUsed = true
		rec.Spec.NotAfter = endOf(rec, lifetime)
	}
}

func endOf(rec *v1alpha1.TokenRecord, age time.Duration) v1alpha1.Timestamp {
	issued, err := rec.Spec.IssuedAt.Parse()
	if err != nil {
		return ""
	}
	return v1alpha1.NewTimestamp(issued.Add(age))
}

// User makes a token act as a user, as somebody declared it who may.
func User(name string, groups ...string) Edit {
	return func(rec *v1alpha1.TokenRecord) {
		rec.Spec.Subject = v1alpha1.Subject{Kind: v1alpha1.SubjectKindUser, Name: name, Groups: groups}
		rec.Spec.Creator = &v1alpha1.Creator{Username: "maria", Checked: v1alpha1.CreatorCheckAdmission}
	}
}

// Audiences are those that a token is meant for; none is as good as absent.
func Audiences(audiences ...string) Edit {
	return func(rec *v1alpha1.TokenRecord) { rec.Spec.Audiences = audiences }
}

// Scopes are what a token is limited to; none is as good as absent.
func Scopes(scopes ...string) Edit {
	return func(rec *v1alpha1.TokenRecord) { rec.Spec.Scopes = scopes }
}

// Networks are those that a token may be used from.
func Networks(networks ...v1alpha1.CIDR) Edit {
	return func(rec *v1alpha1.TokenRecord) { rec.Spec.AllowedCIDRs = networks }
}
