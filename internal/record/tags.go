package record

// tag names a field in the canonical encoding. Fields are written in ascending
// order of their tags. A number never changes its meaning and is never used
// again: an absent field writes nothing, so a later field that old records lack
// leaves their seals as they are. The numbers between are free.
type tag byte

// What binds a record to its place.
const (
	tagClusterID tag = 0x01 // UID of the namespace kube-system
	tagNamespace tag = 0x02 // metadata.namespace
	tagName      tag = 0x03 // metadata.name, the token ID
)

// Where the token came from.
const (
	tagAccessTokenName tag = 0x10 // spec.accessTokenName
	tagAccessTokenUID  tag = 0x11 // spec.accessTokenUID
	tagRevision        tag = 0x12 // spec.revision
	tagOrigin          tag = 0x13 // spec.origin
	tagFamily          tag = 0x14 // reserved: the tokens that descend from one sign-in
)

// Who it acts as. The kinds of subjects are values of one field.
const (
	tagSubjectKind       tag = 0x20 // spec.subject.kind
	tagSubjectName       tag = 0x21 // spec.subject.name
	tagSubjectUID        tag = 0x22 // spec.subject.uid
	tagSubjectGroups     tag = 0x23 // spec.subject.groups
	tagSubjectOnRecreate tag = 0x24 // reserved: what becomes of it when the subject is made again
)

// What it may be used for, for whom and from where.
const (
	tagScopes       tag = 0x30 // spec.scopes
	tagAudiences    tag = 0x31 // spec.audiences
	tagAllowedCIDRs tag = 0x32 // spec.allowedCIDRs
)

// From when and until when.
const (
	tagIssuedAt           tag = 0x40 // spec.issuedAt
	tagMaxAgeSeconds      tag = 0x41 // spec.maxAgeSeconds
	tagNotAfter           tag = 0x42 // spec.notAfter
	tagExtendWhenUsed     tag = 0x43 // spec.extendWhenUsed
	tagMaxLifetimeSeconds tag = 0x44 // reserved: the hard end of an age that use extends
)

// Who asked for it, and how the right to was checked.
const (
	tagCreatorUsername tag = 0x50 // spec.creator.username
	tagCreatorUID      tag = 0x51 // spec.creator.uid
	tagCreatorChecked  tag = 0x52 // spec.creator.checked

	tagCreatorGroupsDigest tag = 0x53 // spec.creator.groupsDigest
)

// What it is sealed with. The hash and the seal themselves are not encoded.
const (
	tagKeyID tag = 0x60 // spec.keyID
)
