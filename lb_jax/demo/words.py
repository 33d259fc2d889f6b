"""The wordings of every attribute value; captions and prompts draw from the same lists.

Every value has two or three wordings, so that a text tower has to learn synonyms, and no wording
serves two values.
"""

WORDS = {
    "category": {
        "clock": ("clock", "wall clock", "timepiece"),
        "car": ("car", "automobile"),
        "phone": ("phone", "telephone", "smartphone"),
        "plane": ("plane", "airplane", "aircraft"),
        "house": ("house", "cottage", "home"),
        "bird": ("bird", "songbird"),
        "gate": ("gate", "iron fence"),
        "flag": ("flag", "banner"),
    },
    "colour": {
        "red": ("red", "scarlet", "crimson"),
        "yellow": ("yellow", "golden"),
        "green": ("green", "emerald"),
        "turquoise": ("turquoise", "cyan"),
        "blue": ("blue", "navy"),
        "pink": ("pink", "magenta"),
    },
    "motion": {
        "left": ("to the left", "leftward"),
        "right": ("to the right", "rightward"),
        "up": ("upward", "to the top"),
        "down": ("downward", "to the bottom"),
    },
    "distance": {
        "near": ("very close", "nearby"),
        "middle": ("at a medium distance", "halfway back"),
        "far": ("far away", "in the remote background"),
    },
    "temperature": {
        "cold": ("cold", "icy"),
        "warm": ("warm", "lukewarm"),
        "hot": ("hot", "scorching"),
    },
    "source": {
        "ticking": ("ticking", "going tick tock"),
        "alarm": ("beeping", "sounding its alarm"),
        "tolling": ("tolling", "striking the hour"),
        "engine": ("revving its engine", "rumbling with a running motor"),
        "horn": ("honking", "blowing its horn"),
        "siren": ("wailing its siren", "blaring like an ambulance"),
        "ringing": ("ringing", "playing its ringtone"),
        "buzzing": ("buzzing", "vibrating"),
        "dialling": ("dialling a number", "with keypad tones"),
        "propeller": ("whirring its propeller", "chopping with rotor blades"),
        "jet": ("whining with jet turbines", "roaring on jet power"),
        "sputtering": ("sputtering on pistons", "coughing bursts of exhaust"),
        "doorbell": ("chiming its doorbell", "with a ding dong at the entrance"),
        "knocking": ("with knocking at the door", "with someone thumping on the door"),
        "dripping": ("with a dripping tap", "leaking drop by drop"),
        "chirping": ("chirping", "tweeting"),
        "cawing": ("cawing", "screeching hoarsely"),
        "pecking": ("pecking at wood", "drumming with its beak"),
        "creaking": ("creaking", "squeaking on its hinges"),
        "clanking": ("clanking", "clattering shut"),
        "rattling": ("rattling its bars", "shaking noisily"),
        "rain": ("pattering in the rain", "under falling raindrops"),
        "flapping": ("flapping in the wind", "fluttering in a storm"),
        "howling": ("howling on its pole", "whistling with gusts"),
    },
}
