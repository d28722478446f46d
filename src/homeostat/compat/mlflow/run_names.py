"""Names for runs that came without one, such as `brisk-otter-412`."""

import random

_ADJECTIVES = (
    "able agile amber ample apt avid bold brave bright brisk calm candid clear clever cool crisp curious daring deft "
    "dreamy eager early fair fast fine firm fleet fond free fresh gentle glad grand happy hardy keen kind lively lucky "
    "mellow merry mild neat nimble noble patient placid plucky polite proud quick quiet ready robust rustic serene "
    "sharp silent sleek smooth snug spry steady stoic sunny swift tidy tough tranquil upbeat vivid warm wise witty"
)
_NOUNS = (
    "ant auk badger bass bear bee bison bream carp cod colt crab crane crow deer dove duck eel elk finch fox frog gnu "
    "goat goose grouse gull hare hawk heron horse ibis jay kite koi lark lion loon lynx mink mole moose moth mule newt "
    "orca otter owl ox perch pike plover pony quail ram raven robin roe seal shad shrew shrike skink smelt snail sole "
    "stag stoat stork swan tern toad trout tuna turtle vole wasp whale wolf wren yak zebra"
)


def random_name() -> str:
    """A name that is easy to say."""
    return f"{random.choice(_ADJECTIVES.split())}-{random.choice(_NOUNS.split())}-{random.randint(0, 999)}"
