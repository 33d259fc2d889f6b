"""Search terms: from labels and captions of sets that show things to what is searched for.

`table.build` is the way of it: `forms` reads texts, `keywords` takes phrases of captions, `merging`
puts forms of one term together, `balancing` gives each source its share and each term its weight.
"""
