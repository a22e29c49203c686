"""超声检查规则 · Ultrasound rules.

Several body parts as one visit, fasting and full bladder, order before endoscopy, barium and isotopes.
"""
