"""Thermal (infrared) pictures: decoded and transformed as still images (LanguageBind spec 5.5).

The published corpus stores them as min-max stretched 8-bit pictures, so grey values carry no
temperature scale.
"""

from lb_jax.data import image

decode = image.decode
transform = image.transform
